# Programs of several files, of which each includes the library.
coca_add_separate_test(test_linking linking/first.cpp linking/second_test.cpp)
coca_add_separate_test(test_extern linking/extern_test.cpp linking/instances.cpp)
# Whether they link does not depend on how well they are compiled.
foreach(name IN ITEMS test_linking test_extern)
  target_compile_options(${name} PRIVATE -O0)
endforeach()
# It has other functions by the same names as files with all instruction sets.
coca_add_separate_test(test_single_target linking/single_target_test.cpp)
add_dependencies(coca_tests test_linking test_extern test_single_target)
# The file that calls leaves the kernel to the other one.
if(CMAKE_NM)
  add_test(NAME extern_is_not_compiled_twice
    COMMAND ${CMAKE_NM} -u -C $<TARGET_OBJECTS:test_extern> COMMAND_EXPAND_LISTS)
  set_tests_properties(extern_is_not_compiled_twice PROPERTIES
    PASS_REGULAR_EXPRESSION "forward<.*Dot, .*Causal>")
endif()

