# What the projects of the documentation are built with, by scripts that run in WORK.
cmake_minimum_required(VERSION 3.22)
function(run)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(snippets ${PYTHON} ${SOURCE}/scripts/snippets.py)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
# The text names no compiler, and no place for Eigen; CMake takes both from here.
set(ENV{CXX} ${COMPILER})
if(EIGEN3_DIR)
  set(ENV{Eigen3_DIR} ${EIGEN3_DIR})
endif()
