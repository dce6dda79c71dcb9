# relgrad for vcpkg, built from this source tree:
#   vcpkg install relgrad --overlay-ports=bindings/packages/vcpkg
# In a registry of your own, take the sources by vcpkg_from_git instead of the next line.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../.." ABSOLUTE)

# One build, optimised: programs of both kinds link it.
set(VCPKG_BUILD_TYPE release)
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS -DRELGRAD_INSTALL=ON "-DRELGRAD_INSTALL_CMAKEDIR=share/${PORT}" -DCMAKE_INSTALL_LIBDIR=lib)
vcpkg_cmake_install()
vcpkg_fixup_pkgconfig()
file(GLOB shared "${CURRENT_PACKAGES_DIR}/lib/librelgrad.so*")
if(VCPKG_LIBRARY_LINKAGE STREQUAL "static")
  file(REMOVE ${shared})
else()
  file(REMOVE "${CURRENT_PACKAGES_DIR}/lib/librelgrad.a")
endif()
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE-MIT" "${SOURCE_PATH}/LICENSE-APACHE")
file(WRITE "${CURRENT_PACKAGES_DIR}/share/${PORT}/usage" [[
relgrad provides CMake targets:

    find_package(relgrad CONFIG REQUIRED)
    target_link_libraries(main PRIVATE $<IF:$<TARGET_EXISTS:relgrad::static>,relgrad::static,relgrad::relgrad>)
]])
