# Here and not in the root, where npm would build it during every install.
{
  # Where scripts/native.mjs put the headers of llama.cpp; without them the target cfab_engine is not built.
  "variables": { "engine_headers%": "" },
  "target_defaults": {
    "include_dirs": ["<(node_api_include)"],
    # No fused multiply-add: what is computed here must be, bit for bit, what JavaScript computes.
    "cflags": ["-O3", "-Wall", "-Wextra", "-Werror=return-type", "-fvisibility=hidden", "-ffp-contract=off"],
    "cflags_cc": ["-std=c++17", "-fno-exceptions", "-fno-rtti"],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
      "GCC_ENABLE_CPP_EXCEPTIONS": "NO",
      "GCC_ENABLE_CPP_RTTI": "NO",
      "GCC_OPTIMIZATION_LEVEL": "3",
      "MACOSX_DEPLOYMENT_TARGET": "13.5",
      "OTHER_CFLAGS": ["-Wall", "-Wextra", "-fvisibility=hidden", "-ffp-contract=off"]
    }
  },
  "targets": [
    {
      "target_name": "cfab",
      "sources": ["addon.cc", "rendezvous.cc"]
    },
    {
      "target_name": "cfab_engine",
      "sources": ["<!@(ls engine/*.cc)"],
      "include_dirs": ["<(engine_headers)"],
      "cflags": ["-pthread"],
      "conditions": [["OS == 'linux'", { "libraries": ["-ldl", "-lpthread"] }]]
    }
  ]
}
