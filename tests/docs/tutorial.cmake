# Builds the tutorial's project in WORK, from its text, and compares what it prints with the text.
function(run)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(snippets ${PYTHON} ${SOURCE}/scripts/snippets.py)
set(text ${SOURCE}/docs/tutorial.md)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
run(${snippets} project ${text} .)
set(options -D CMAKE_CXX_COMPILER=${COMPILER})
# Not empty where Eigen is installed in a place of its own.
if(EIGEN3_DIR)
  list(APPEND options -D Eigen3_DIR=${EIGEN3_DIR})
endif()
run(${CMAKE_COMMAND} -B build -D CMAKE_BUILD_TYPE=Release -D COCA_SOURCE=${SOURCE} ${options})
run(${CMAKE_COMMAND} --build build)
run(${snippets} check build/tutorial ${text})
