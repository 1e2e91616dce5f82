# Compiles SOURCE with COCA_MUST_COMPILE defined, which must succeed, and without, which must fail
# with a message that matches the regular expression on the file's first line, "// EXPECT: ...".
# With PRECOMPILE, SOURCE is a header, to be kept in PRECOMPILED for all others instead.
# INCLUDES is separated by |, as a list would be split on its way here.
string(REPLACE "|" ";" INCLUDES "${INCLUDES}")
set(command ${COMPILER} -std=c++20 -I ${PRECOMPILED})
foreach(directory IN LISTS INCLUDES)
  list(APPEND command -isystem ${directory})
endforeach()

if(PRECOMPILE)
  file(MAKE_DIRECTORY ${PRECOMPILED}/coca)
  execute_process(COMMAND ${command} -x c++-header ${SOURCE} -o ${PRECOMPILED}/coca/coca.hpp.gch
    COMMAND_ERROR_IS_FATAL ANY)
  return()
endif()

file(STRINGS ${SOURCE} first_line LIMIT_COUNT 1)
if(NOT first_line MATCHES "^// EXPECT: (.+)$")
  message(FATAL_ERROR "${SOURCE} does not start with // EXPECT: and a regular expression")
endif()
set(expected "${CMAKE_MATCH_1}")
list(APPEND command -fsyntax-only)
execute_process(COMMAND ${command} -DCOCA_MUST_COMPILE ${SOURCE} RESULT_VARIABLE failed ERROR_VARIABLE text)
if(failed)
  message(FATAL_ERROR "The twin that must compile does not:\n${text}")
endif()
execute_process(COMMAND ${command} ${SOURCE} RESULT_VARIABLE failed ERROR_VARIABLE text)
if(NOT failed)
  message(FATAL_ERROR "It compiles, but must not")
endif()
if(NOT text MATCHES "${expected}")
  message(FATAL_ERROR "Expected a message that matches\n  ${expected}\nbut the compiler said\n${text}")
endif()
