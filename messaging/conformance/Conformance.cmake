# marquee_conformance_test(name BACKEND word SOURCES a.cc ... DEPS x ... [LABELS ...]): the program that runs the
# conformance suite against one backend (see conformance.h), and each of its tests as `word.Sentence.Fact` in ctest.
include(GoogleTest)

function(marquee_conformance_test name)
  if(NOT MARQUEE_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "BACKEND" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE marquee_options ${ARG_DEPS} marquee_conformance)
  gtest_discover_tests(${name} TEST_PREFIX "${ARG_BACKEND}." DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT 120 LABELS "${ARG_LABELS}")
endfunction()
