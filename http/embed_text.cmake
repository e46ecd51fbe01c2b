# cmake -DINPUT=x.json -DOUTPUT=x.cc -P embed_text.cmake: the text of docs/openapi.json as a function of C++.
file(READ "${INPUT}" text)
if(text MATCHES "\\)openapi\"")
  message(FATAL_ERROR "${INPUT} holds the end of the raw string")
endif()
file(WRITE "${OUTPUT}" "#include \"http/openapi.h\"

namespace marquee::http {

std::string_view OpenApiText() {
  return R\"openapi(${text})openapi\";
}

}  // namespace marquee::http
")
