# What is installed, and the archives that `cpack` makes of it and of the source. Headers are the
# same for every machine, so everything goes to include/ and share/.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/coca DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(TARGETS coca EXPORT coca)

# For find_package(coca).
set(coca_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/coca)
install(EXPORT coca NAMESPACE coca:: FILE coca-targets.cmake DESTINATION ${coca_package_dir})
configure_package_config_file(cmake/coca-config.cmake.in coca-config.cmake
  INSTALL_DESTINATION ${coca_package_dir})
# Before 1.0 a minor version may change what callers write.
write_basic_package_version_file(coca-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/coca-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/coca-config-version.cmake
  cmake/coca-kernels.cmake
  DESTINATION ${coca_package_dir})

# For pkg-config. Paths are relative to the file, so that the prefix may move.
set(coca_pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${coca_pkgconfig_dir}
  OUTPUT_VARIABLE coca_prefix_from_pkgconfig)
set(coca_pkgconfig_includedir "\${prefix}")
cmake_path(APPEND coca_pkgconfig_includedir ${CMAKE_INSTALL_INCLUDEDIR})
configure_file(cmake/coca.pc.in coca.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/coca.pc DESTINATION ${coca_pkgconfig_dir})

# cpack: what is installed. cpack --config CPackSourceConfig.cmake: the source.
set(CPACK_PACKAGE_VENDOR "The coca authors")
set(CPACK_PACKAGE_CONTACT "The coca authors")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_FILE_NAME coca-${PROJECT_VERSION})
set(CPACK_GENERATOR TGZ)
find_program(COCA_DPKG_DEB dpkg-deb)
mark_as_advanced(COCA_DPKG_DEB)
if(COCA_DPKG_DEB)
  list(APPEND CPACK_GENERATOR DEB)
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_NAME libcoca-dev)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libeigen3-dev (>= 3.4)")

set(CPACK_SOURCE_GENERATOR TGZ)
set(CPACK_SOURCE_PACKAGE_FILE_NAME coca-${PROJECT_VERSION}-source)
# These are regular expressions over whole paths.
string(REGEX REPLACE "([][+.*()^$?|\\])" "\\\\\\1" coca_source "${PROJECT_SOURCE_DIR}")
string(REGEX REPLACE "([][+.*()^$?|\\])" "\\\\\\1" coca_binary "${PROJECT_BINARY_DIR}")
set(CPACK_SOURCE_IGNORE_FILES
  "^${coca_source}/build/" "^${coca_binary}/" "^${coca_source}/\\.git(/|$)"
  "^${coca_source}/cmake/conan/test_package/build/"
  "/__pycache__/" "/CMakeUserPresets\\.json$")
set(CPACK_VERBATIM_VARIABLES TRUE)
include(CPack)
