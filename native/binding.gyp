# Here and not in the root, where npm would build it during every install.
{
  "targets": [
    {
      "target_name": "cfab",
      "sources": ["addon.cc", "rendezvous.cc"],
      "include_dirs": ["<(node_api_include)"],
      "cflags": ["-O3", "-Wall", "-Wextra", "-Werror=return-type", "-fvisibility=hidden"],
      "cflags_cc": ["-std=c++17", "-fno-exceptions", "-fno-rtti"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "GCC_OPTIMIZATION_LEVEL": "3",
        "MACOSX_DEPLOYMENT_TARGET": "13.5",
        "OTHER_CFLAGS": ["-Wall", "-Wextra", "-fvisibility=hidden"]
      }
    }
  ]
}
