// Runs a fuzz target on files, without libFuzzer.
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct stat status;
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL || fstat(fileno(file), &status) != 0) {
            perror(argv[i]);
            return 1;
        }
        // Of exactly the input's size, so that a sanitizer sees a byte too many.
        size_t size = (size_t)status.st_size;
        uint8_t *data = malloc(size);
        require((data != NULL || size == 0) && fread(data, 1, size, file) == size);
        fclose(file);
        fprintf(stderr, "%s\n", argv[i]);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    return 0;
}
