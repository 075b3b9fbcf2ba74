// Opens a library and finds its functions.
#include "library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void* library_open(const char* path, char* text, size_t size) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = dlerror();
    snprintf(text, size, "%s", why ? why : path);
  }
  return library;
}

int library_find(void* library, const char* path, const library_function* functions, size_t count, char* text,
                 size_t size) {
  for (size_t i = 0; i < count; i++) {
    void* f = dlsym(library, functions[i].name);
    if (!f && !functions[i].optional) {
      snprintf(text, size, "%s has no function %s", path, functions[i].name);
      return 1;
    }
    memcpy(functions[i].slot, &f, sizeof f);
  }
  return 0;
}
