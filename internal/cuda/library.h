// Opens NVIDIA's libraries at run time. Both functions return failure with the reason in text.
#pragma once
#include <stddef.h>

typedef struct {
  const char* name;
  void* slot;  // a pointer to the function's pointer
  int optional;
} library_function;

// The library at path, never closed: its threads and exit handlers may outlive what it is used for. NULL for failure.
void* library_open(const char* path, char* text, size_t size);
// Fills the slots of count functions; optional ones that are not there become NULL. 1 for failure.
int library_find(void* library, const char* path, const library_function* functions, size_t count, char* text,
                 size_t size);
