# librdkafka 2.8 or newer as RdKafka::rdkafka: the system's where pkg-config finds one, else the one that
# script/librdkafka has built into build/librdkafka.
pkg_check_modules(RDKAFKA_SYSTEM QUIET IMPORTED_TARGET rdkafka>=2.8)
if(RDKAFKA_SYSTEM_FOUND)
  set(RdKafka_LIBRARY "${RDKAFKA_SYSTEM_LINK_LIBRARIES}")
  if(NOT TARGET RdKafka::rdkafka)
    add_library(RdKafka::rdkafka ALIAS PkgConfig::RDKAFKA_SYSTEM)
  endif()
else()
  set(RdKafka_ROOT "${PROJECT_SOURCE_DIR}/build/librdkafka/install")
  find_path(RdKafka_INCLUDE_DIR librdkafka/rdkafka.h PATHS "${RdKafka_ROOT}/include" NO_DEFAULT_PATH)
  find_library(RdKafka_LIBRARY librdkafka.a PATHS "${RdKafka_ROOT}/lib" NO_DEFAULT_PATH)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(RdKafka REQUIRED_VARS RdKafka_LIBRARY REASON_FAILURE_MESSAGE
                                  "run script/librdkafka first, as script/build does")
if(RdKafka_FOUND AND NOT TARGET RdKafka::rdkafka)
  find_package(OpenSSL REQUIRED)
  find_package(ZLIB REQUIRED)
  pkg_check_modules(LZ4 REQUIRED IMPORTED_TARGET liblz4)
  pkg_check_modules(SASL REQUIRED IMPORTED_TARGET libsasl2)
  add_library(RdKafka::rdkafka STATIC IMPORTED)
  set_target_properties(RdKafka::rdkafka PROPERTIES IMPORTED_LOCATION "${RdKafka_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${RdKafka_INCLUDE_DIR}")
  target_link_libraries(RdKafka::rdkafka INTERFACE OpenSSL::SSL OpenSSL::Crypto ZLIB::ZLIB PkgConfig::LZ4
                        PkgConfig::SASL PkgConfig::ZSTD Threads::Threads ${CMAKE_DL_LIBS} m)
endif()
