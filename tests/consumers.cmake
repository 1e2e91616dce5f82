# The library as a stranger uses it, with the compiler of this build.
find_program(COCA_PKG_CONFIG NAMES pkg-config pkgconf)
find_program(COCA_DPKG_DEB dpkg-deb)
mark_as_advanced(COCA_PKG_CONFIG COCA_DPKG_DEB)
set(eigen $<JOIN:$<TARGET_PROPERTY:Eigen3::Eigen,INTERFACE_INCLUDE_DIRECTORIES>,|>)
set(pkg_config ${COCA_PKG_CONFIG})
if(pkg_config)
  execute_process(COMMAND ${pkg_config} --exists eigen3 RESULT_VARIABLE without_eigen)
  if(without_eigen)
    set(pkg_config)
  endif()
endif()
function(coca_add_consumer_test name way)
  add_test(NAME consumer_${name}
    COMMAND ${CMAKE_COMMAND} -D WAY=${way} ${ARGN} -D SOURCE=${PROJECT_SOURCE_DIR}
      -D WORK=${CMAKE_CURRENT_BINARY_DIR}/consumer/${name}
      -D PACKAGES=${CMAKE_CURRENT_BINARY_DIR}/consumer/packages
      -D COMPILER=${CMAKE_CXX_COMPILER} -D CPACK=${CMAKE_CPACK_COMMAND}
      -D PKG_CONFIG=${pkg_config} -D DPKG_DEB=${COCA_DPKG_DEB} -D PYTHON=${Python3_EXECUTABLE}
      -D VERSION=${PROJECT_VERSION} "-DEIGEN3_DIR=${Eigen3_DIR}" "-DEIGEN3_INCLUDES=${eigen}"
      -P ${CMAKE_CURRENT_SOURCE_DIR}/consumer/run.cmake)
endfunction()
function(coca_add_consumer way standard exceptions)
  set(name ${way}_${standard})
  if(NOT exceptions)
    string(APPEND name _no_exceptions)
  endif()
  coca_add_consumer_test(${name} ${way} -D STANDARD=${standard} -D EXCEPTIONS=${exceptions})
  if(way MATCHES "^(fetch_content|find_package|debian|pkg_config)$")
    set_tests_properties(consumer_${name} PROPERTIES FIXTURES_REQUIRED consumer_packages)
  endif()
endfunction()
coca_add_consumer(add_subdirectory 20 1)
if(Python3_FOUND)
  add_test(NAME consumer_vcpkg_manifest
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/consumer/vcpkg_manifest.py
      ${PROJECT_SOURCE_DIR}/cmake/vcpkg/coca/vcpkg.json ${PROJECT_VERSION} ${PROJECT_SOURCE_DIR}/LICENSE)
endif()
if(COCA_TEST_ALL)
  # What is installed and packed, once for the ways that begin with it.
  coca_add_consumer_test(packages packages)
  set_tests_properties(consumer_packages PROPERTIES FIXTURES_SETUP consumer_packages)
  # All ways have the same headers. So each way comes once, and the four pairs of a standard and a choice of
  # exceptions come at least once.
  coca_add_consumer(find_package 23 0)
  # One compiler is enough for the other ways: that of the build which has everything. scripts/packages.sh tests
  # Conan's package.
  if(COCA_BUILD_EXAMPLES)
    coca_add_consumer(fetch_content 23 1)
    if(pkg_config)
      coca_add_consumer(pkg_config 20 0)
    endif()
    if(Python3_FOUND)
      coca_add_consumer(single_header 23 0)
    endif()
    if(COCA_DPKG_DEB)
      coca_add_consumer(debian 20 1)
    endif()
    coca_add_consumer(vcpkg 20 1)
  endif()
endif()
