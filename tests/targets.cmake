# The same results on every instruction set of this machine. Tests that visit all of them by themselves
# are left out.
add_executable(other_target support/other_target.cpp)
target_link_libraries(other_target PRIVATE coca_dev)
foreach(name IN ITEMS kernel attention mask)
  add_dependencies(test_${name} other_target)
  foreach(target IN ITEMS baseline avx2 avx512)
    add_test(NAME test_${name}_${target}
      COMMAND ${CMAKE_COMMAND} -D OTHER_TARGET=$<TARGET_FILE:other_target>
        -D PROGRAM=$<TARGET_FILE:test_${name}> -D ARGUMENTS=~[engine]
        -P ${CMAKE_CURRENT_SOURCE_DIR}/support/on_target.cmake)
    set_tests_properties(test_${name}_${target} PROPERTIES
      ENVIRONMENT COCA_TARGET=${target} SKIP_REGULAR_EXPRESSION "^Skipped: ")
  endforeach()
endforeach()
