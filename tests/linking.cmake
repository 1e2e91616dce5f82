# Programs of several files, of which each includes the library; and one of a file that links to its kernels.
coca_add_separate_test(test_linking linking/first.cpp linking/second_test.cpp)
coca_add_separate_test(test_compiled linking/compiled_test.cpp)
target_link_libraries(test_compiled PRIVATE coca_kernels)
# Whether they link does not depend on how well they are compiled.
foreach(name IN ITEMS test_linking test_compiled)
  target_compile_options(${name} PRIVATE -O0)
endforeach()
# It has other functions by the same names as files with all instruction sets.
coca_add_separate_test(test_single_target linking/single_target_test.cpp)
add_dependencies(coca_tests test_linking test_compiled test_single_target)
# A file that calls holds no engine function, nor a kernel.
if(CMAKE_NM)
  add_test(NAME compiled_file_has_no_kernels
    COMMAND ${CMAKE_COMMAND} -D NM=${CMAKE_NM} "-DOBJECTS=$<TARGET_OBJECTS:test_compiled>"
      -P ${CMAKE_CURRENT_SOURCE_DIR}/linking/no_kernels.cmake)
endif()
