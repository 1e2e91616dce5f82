# Builds a program with the lines for CMake of README.md, and where there is an MPI with those of
# distributed.md.
include(${CMAKE_CURRENT_LIST_DIR}/project.cmake)
file(CREATE_LINK ${SOURCE} ${WORK}/coca SYMBOLIC)
set(pages README.md)
set(main "#include <coca/core/version.hpp>\n")
if(MPI)
  list(APPEND pages docs/distributed.md)
  string(APPEND main "#include <coca/distributed/communicator.hpp>\n")
endif()
file(WRITE ${WORK}/main.cpp "${main}int main() {}\n")
file(WRITE ${WORK}/CMakeLists.txt "cmake_minimum_required(VERSION 3.22)\nproject(app LANGUAGES CXX)\n"
  "add_executable(app main.cpp)\n")
foreach(page IN LISTS pages)
  execute_process(COMMAND ${snippets} cmake ${SOURCE}/${page}
    OUTPUT_VARIABLE lines COMMAND_ERROR_IS_FATAL ANY)
  if(NOT lines)
    message(FATAL_ERROR "${page} has no lines for CMake")
  endif()
  file(APPEND ${WORK}/CMakeLists.txt "${lines}")
endforeach()
run(${CMAKE_COMMAND} -B build)
run(${CMAKE_COMMAND} --build build)
