# What every target shares: warnings, sanitizers, libraries of the system, and the three verbs with which the
# folders declare what they hold: marquee_library, marquee_test, marquee_fuzzer.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.40)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
find_package(RdKafka REQUIRED)
pkg_check_modules(RABBITMQ REQUIRED IMPORTED_TARGET librabbitmq)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(marquee_options INTERFACE)
target_include_directories(marquee_options INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(marquee_options INTERFACE -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor
                       -Woverloaded-virtual -Wno-missing-field-initializers -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(marquee_options INTERFACE -Wthread-safety)
else()
  # False alarms of g++ 12 on inlined std::string and std::optional.
  target_compile_options(marquee_options INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(MARQUEE_CRASH_POINTS)
  target_compile_definitions(marquee_options INTERFACE MARQUEE_CRASH_POINTS=1)
endif()
if(MARQUEE_SANITIZE)
  add_compile_options(-fsanitize=${MARQUEE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MARQUEE_SANITIZE})
endif()
if(MARQUEE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(MARQUEE_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
endif()
if(MARQUEE_BENCH)
  find_package(benchmark REQUIRED)
endif()

# marquee_folder(path): the folder below this one, unless MARQUEE_ONLY names others ("base;messaging;messaging/sqlite").
function(marquee_folder path)
  file(RELATIVE_PATH full "${PROJECT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}/${path}")
  if(NOT MARQUEE_ONLY OR full IN_LIST MARQUEE_ONLY)
    add_subdirectory(${path})
  endif()
endfunction()

# marquee_library(name SOURCES a.cc ... DEPS x y ...): the library of a folder.
function(marquee_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC marquee_options ${ARG_DEPS})
endfunction()

# marquee_test(name SOURCES a_test.cc ... DEPS x y ... [LABELS threaded ...] [TIMEOUT seconds]): one test
# binary, one ctest entry. The label "threaded" puts it into the runs under ThreadSanitizer.
function(marquee_test name)
  if(NOT MARQUEE_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS;ARGS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE marquee_options ${ARG_DEPS} GTest::gtest GTest::gmock
                        GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

# marquee_fuzzer(name SOURCES x_fuzz.cc DEPS ... CORPUS dir): a libFuzzer target, and a short run of it as a
# test that starts from the corpus in the tree.
function(marquee_fuzzer name)
  if(NOT MARQUEE_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE marquee_options ${ARG_DEPS})
  add_test(NAME ${name} COMMAND "${PROJECT_SOURCE_DIR}/script/fuzz-one" $<TARGET_FILE:${name}>
           "${CMAKE_CURRENT_SOURCE_DIR}/${ARG_CORPUS}")
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS fuzz)
endfunction()
