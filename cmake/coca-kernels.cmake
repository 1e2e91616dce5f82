# coca::kernels: the kernels compiled once, by the project that uses them and with its flags. A target that links to it
# compiles the headers in a fraction of the time, without a change to its code. Nothing is built unless it is linked.
# Included by coca itself and by its packages, which may say in coca_include where the headers are.
if(NOT TARGET coca_kernels)
  if(NOT coca_include)
    set(coca_include ${CMAKE_CURRENT_LIST_DIR}/../include)
  endif()
  add_library(coca_kernels STATIC EXCLUDE_FROM_ALL ${coca_include}/coca/kernels.cpp)
  target_link_libraries(coca_kernels PUBLIC coca::coca)
  target_compile_definitions(coca_kernels PUBLIC COCA_COMPILED)
  # For programs and shared libraries alike.
  set_target_properties(coca_kernels PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_library(coca::kernels ALIAS coca_kernels)
endif()
