/* The one assertion of the C tests: says where and why, and fails the program. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: %s is false; last error: '%s'\n", __FILE__, __LINE__,  \
                    #condition, ql_last_error_message());                                  \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

#endif
