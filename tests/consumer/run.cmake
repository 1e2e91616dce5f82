cmake_minimum_required(VERSION 3.22)

# Builds and runs the consumer in WORK, with the library by WAY, which is one of those below; of the C++
# STANDARD, with EXCEPTIONS (1) or without (0). Archives and what is installed come from the folder
# PACKAGES, which the way of that name fills.
function(run)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK}
    RESULT_VARIABLE failed OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(failed)
    message(FATAL_ERROR "${ARGN}\n${text}")
  endif()
  set(output "${text}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
set(options -D CMAKE_CXX_COMPILER=${COMPILER})
# Not empty where Eigen is installed in a place of its own.
if(EIGEN3_DIR)
  list(APPEND options -D Eigen3_DIR=${EIGEN3_DIR})
endif()
set(flags)
if(NOT EXCEPTIONS)
  set(flags -fno-exceptions)
endif()

# The consumer as a project of CMake, with further options.
function(build_project)
  run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B build ${options} ${ARGN}
    -D COCA_VERSION=${VERSION} -D COCA_STANDARD=${STANDARD} -D COCA_EXCEPTIONS=${EXCEPTIONS}
    -D CMAKE_CXX_STANDARD=${STANDARD} -D CMAKE_CXX_FLAGS=${flags})
  run(${CMAKE_COMMAND} --build build)
  run(${WORK}/build/consumer)
endfunction()

# The consumer by the compiler alone, with further arguments. clang knows C++23 by that name from 17 on.
string(REPLACE 23 2b language -std=c++${STANDARD})
function(build_by_hand)
  run(${COMPILER} ${language} ${flags} "-DCOCA_EXPECTED_VERSION=\"${VERSION}\""
    -DCOCA_EXPECTED_STANDARD=${STANDARD} -DCOCA_EXPECTED_EXCEPTIONS=${EXCEPTIONS}
    ${SOURCE}/tests/consumer/main.cpp ${ARGN} -o consumer)
  run(${WORK}/consumer)
endfunction()

if(WAY STREQUAL packages)
  run(${CMAKE_COMMAND} -S ${SOURCE} -B library ${options} -D COCA_BUILD_TESTS=OFF
    -D COCA_BUILD_EXAMPLES=OFF -D CMAKE_INSTALL_PREFIX=${WORK}/prefix)
  run(${CMAKE_COMMAND} --install library)
  run(${CPACK} --config library/CPackConfig.cmake -B .)
  run(${CPACK} --config library/CPackSourceConfig.cmake -B .)

elseif(WAY STREQUAL add_subdirectory)
  build_project(-D COCA_SOURCE=${SOURCE})

elseif(WAY STREQUAL fetch_content)
  # From the archive of the source.
  build_project(-D COCA_ARCHIVE=${PACKAGES}/coca-${VERSION}-source.tar.gz)

elseif(WAY STREQUAL find_package)
  # From the archive of what is installed, wherever it is unpacked.
  run(${CMAKE_COMMAND} -E tar xf ${PACKAGES}/coca-${VERSION}.tar.gz)
  build_project(-D CMAKE_PREFIX_PATH=${WORK}/coca-${VERSION})

elseif(WAY STREQUAL debian)
  set(package ${PACKAGES}/libcoca-dev_${VERSION}_all.deb)
  run(${DPKG_DEB} --info ${package})
  foreach(field IN ITEMS "Package: libcoca-dev" "Version: ${VERSION}" "Architecture: all"
      "Section: libdevel" "Depends: libeigen3-dev (>= 3.4)")
    string(FIND "${output}" "\n ${field}\n" position)
    if(position LESS 0)
      message(FATAL_ERROR "${package} is not of '${field}':\n${output}")
    endif()
  endforeach()
  # Every header, and what CMake and pkg-config read; all of it where Debian has such things.
  file(GLOB_RECURSE names RELATIVE ${SOURCE} ${SOURCE}/include/coca/*)
  list(APPEND names share/cmake/coca/coca-config.cmake share/pkgconfig/coca.pc share/doc/coca/LICENSE)
  run(${DPKG_DEB} --contents ${package})
  foreach(name IN LISTS names)
    string(FIND "${output}" " ./usr/${name}\n" position)
    if(position LESS 0)
      message(FATAL_ERROR "${package} lacks ${name}:\n${output}")
    endif()
  endforeach()
  string(REGEX MATCH "[^\n]* \\./(usr/)?(local|lib|bin|etc|opt)[^\n]*" wrong "${output}")
  if(wrong)
    message(FATAL_ERROR "${package} should not have\n${wrong}")
  endif()
  run(${DPKG_DEB} --extract ${package} .)
  build_project(-D CMAKE_PREFIX_PATH=${WORK}/usr)

elseif(WAY STREQUAL pkg_config)
  set(ENV{PKG_CONFIG_PATH} ${PACKAGES}/prefix/share/pkgconfig:$ENV{PKG_CONFIG_PATH})
  run(${PKG_CONFIG} --cflags --libs "coca = ${VERSION}")
  separate_arguments(arguments UNIX_COMMAND "${output}")
  build_by_hand(${arguments})

elseif(WAY STREQUAL single_header)
  run(${PYTHON} ${SOURCE}/scripts/amalgamate.py include/coca/coca.hpp)
  run(${PYTHON} ${SOURCE}/scripts/amalgamate.py --header coca/coca.hpp include/coca/extern.hpp)
  string(REPLACE "|" ";" eigen "${EIGEN3_INCLUDES}")
  list(TRANSFORM eigen PREPEND -isystem)
  run(${PYTHON} ${SOURCE}/tests/consumer/same_tokens.py coca/coca.hpp ${SOURCE}/include include
    ${COMPILER} ${language} ${flags} ${eigen})
  build_by_hand(-Iinclude ${eigen})

elseif(WAY STREQUAL vcpkg)
  # The port, by what is vcpkg's in vcpkg.cmake.
  set(PORT coca)
  set(CURRENT_PORT_DIR ${SOURCE}/cmake/vcpkg/coca)
  set(CURRENT_PACKAGES_DIR ${WORK}/packages)
  set(CURRENT_BUILDTREES_DIR ${WORK}/buildtrees)
  include(${SOURCE}/tests/consumer/vcpkg.cmake)
  include(${CURRENT_PORT_DIR}/portfile.cmake)
  check_package()
  build_project(-D CMAKE_PREFIX_PATH=${CURRENT_PACKAGES_DIR})

else()
  message(FATAL_ERROR "There is no way '${WAY}'")
endif()
