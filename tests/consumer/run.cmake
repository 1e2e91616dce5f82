# Builds and runs the consumer in WORK, with the library by WAY, which is one of those below.
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

# The library, configured in WORK/library, to be packed or installed.
function(configure_library)
  run(${CMAKE_COMMAND} -S ${SOURCE} -B library ${options} -D COCA_BUILD_TESTS=OFF
    -D COCA_BUILD_EXAMPLES=OFF -D CMAKE_INSTALL_PREFIX=${WORK}/prefix)
endfunction()

# The consumer as a project of CMake, with further options.
function(build_project)
  run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B build ${options} ${ARGN}
    -D COCA_VERSION=${VERSION} -D CMAKE_CXX_STANDARD=${STANDARD} -D CMAKE_CXX_FLAGS=${flags})
  run(${CMAKE_COMMAND} --build build)
  run(${WORK}/build/consumer)
endfunction()

# The consumer by the compiler alone, with further arguments. clang knows C++23 by that name from 17 on.
string(REPLACE 23 2b language -std=c++${STANDARD})
function(build_by_hand)
  run(${COMPILER} ${language} ${flags} "-DCOCA_EXPECTED_VERSION=\"${VERSION}\""
    ${SOURCE}/tests/consumer/main.cpp ${ARGN} -o consumer)
  run(${WORK}/consumer)
endfunction()

if(WAY STREQUAL add_subdirectory)
  build_project(-D COCA_SOURCE=${SOURCE})

elseif(WAY STREQUAL fetch_content)
  # From the archive of the source.
  configure_library()
  run(${CPACK} --config library/CPackSourceConfig.cmake -B .)
  build_project(-D COCA_ARCHIVE=${WORK}/coca-${VERSION}-source.tar.gz)

elseif(WAY STREQUAL find_package)
  # From the archive of what is installed, wherever it is unpacked.
  configure_library()
  run(${CPACK} --config library/CPackConfig.cmake -G TGZ -B .)
  run(${CMAKE_COMMAND} -E tar xf coca-${VERSION}.tar.gz)
  build_project(-D CMAKE_PREFIX_PATH=${WORK}/coca-${VERSION})

elseif(WAY STREQUAL pkg_config)
  configure_library()
  run(${CMAKE_COMMAND} --install library)
  set(ENV{PKG_CONFIG_PATH} ${WORK}/prefix/share/pkgconfig:$ENV{PKG_CONFIG_PATH})
  run(${PKG_CONFIG} --cflags --libs "coca = ${VERSION}")
  separate_arguments(arguments UNIX_COMMAND "${output}")
  build_by_hand(${arguments})

elseif(WAY STREQUAL single_header)
  run(${PYTHON} ${SOURCE}/scripts/amalgamate.py include/coca/coca.hpp)
  run(${PYTHON} ${SOURCE}/scripts/amalgamate.py --header coca/extern.hpp include/coca/extern.hpp)
  string(REPLACE "|" ";" eigen "${EIGEN3_INCLUDES}")
  list(TRANSFORM eigen PREPEND -isystem)
  run(${PYTHON} ${SOURCE}/tests/consumer/same_tokens.py coca/extern.hpp ${SOURCE}/include include
    ${COMPILER} ${language} ${flags} ${eigen})
  build_by_hand(-Iinclude ${eigen})

else()
  message(FATAL_ERROR "There is no way '${WAY}'")
endif()
