// What may stand in a client.conf: any bytes.
#include <string.h>

#include "../settings.h"
#include "../version.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tl_settings settings = {.level = TL_CLIENT_LEVEL};
    unsigned line = 0, lines = 1;
    char *text = malloc(size); // of exactly this size, so that a sanitizer sees a byte too many
    require(size == 0 || text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    const char *fault = tl_settings_parse(&settings, text, size, &line);
    require(line <= lines && (fault == NULL || line > 0));
    if (fault == NULL)
        require(settings.level <= TL_CLIENT_LEVEL && settings.level / 10000 > 0);
    free(text);
    return 0;
}
