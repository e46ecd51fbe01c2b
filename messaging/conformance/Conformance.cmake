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

# marquee_broker_tests(program FIXTURE name PREFIX word FILTER filter LABELS ... ENVIRONMENT A=b ... TIMEOUT seconds): the
# tests of a program that match the filter of googletest, as `word.Sentence.Fact`. They need a broker, which the fixture
# starts and ends, and come one after the other: some of them kill its nodes. Each call of a directory has another prefix
# or other labels.
function(marquee_broker_tests program)
  cmake_parse_arguments(ARG "" "FIXTURE;PREFIX;FILTER;TIMEOUT" "LABELS;ENVIRONMENT" ${ARGN})
  string(MAKE_C_IDENTIFIER "${program}_${ARG_PREFIX}_${ARG_LABELS}" list)
  gtest_discover_tests(${program} TEST_PREFIX "${ARG_PREFIX}." DISCOVERY_TIMEOUT 60 TEST_LIST ${list}
                       TEST_FILTER "${ARG_FILTER}"
                       PROPERTIES TIMEOUT ${ARG_TIMEOUT} RESOURCE_LOCK ${ARG_FIXTURE} FIXTURES_REQUIRED ${ARG_FIXTURE})
  # gtest_discover_tests passes on no property whose value is a list: these are set when ctest reads the tests.
  set(properties "${CMAKE_CURRENT_BINARY_DIR}/${list}_properties.cmake")
  file(WRITE "${properties}" "if(${list})\n  set_tests_properties(\${${list}} PROPERTIES LABELS \"${ARG_LABELS}\""
       " ENVIRONMENT \"${ARG_ENVIRONMENT}\")\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${properties}")
endfunction()
