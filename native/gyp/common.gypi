# Stands for the file of this name in the headers of Node.js, which not every install has: Node-API needs nothing of it.
{
  "target_defaults": {
    "default_configuration": "Release",
    "configurations": { "Release": { "defines": ["NDEBUG"] } }
  }
}
