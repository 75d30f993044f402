// What must not stay in memory: PINs, decrypted data, the application's secret.
#include <fcntl.h>
#include <string.h>

#include "check.h"
#include "fake.h"
#include "memory.h"
#include "tidelock/vendor.h"

static struct fake *fake;

// occurrences counts where the program's writable memory holds the bytes that a
// pattern has inverted, so that the pattern itself is not found.
static unsigned occurrences(const unsigned char *pattern, size_t n) {
    static unsigned char page[1 << 16];
    unsigned found = 0;
    int memory = open("/proc/self/mem", O_RDONLY);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], mode[5];
    unsigned long from, to;
    CHECK(memory >= 0 && maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || mode[1] != 'w' || strstr(line, "[vvar]") != NULL)
            continue;
        for (unsigned long at = from; at < to; at += sizeof page - 64) {
            ssize_t got = pread(memory, page, sizeof page, (off_t)at);
            for (ssize_t i = 0; i + (ssize_t)n <= got && i < (ssize_t)sizeof page - 64; i++) {
                if (at + (unsigned long)i >= (unsigned long)page && at + (unsigned long)i < (unsigned long)page + sizeof page)
                    continue;
                size_t same = 0;
                while (same < n && page[i + (ssize_t)same] == (unsigned char)~pattern[same])
                    same++;
                if (same == n)
                    found++;
            }
        }
    }
    fclose(maps);
    close(memory);
    return found;
}

static void invert(unsigned char *to, const unsigned char *from, size_t n) {
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)~from[i];
}

int main(void) {
    fake = fake_start();
    CK_SESSION_HANDLE session;
    CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};
    unsigned char pattern[24], plain[24];
    CK_ULONG length = sizeof plain;
    CK_UTF8CHAR label[] = "                                ";
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (unsigned char)(0x81 + 5 * i + (size_t)getpid());
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));

    invert(plain, pattern, sizeof plain);
    CHECK(occurrences(pattern, sizeof pattern) == 1); // the search finds what is there
    CHECK_RV(CKR_OK, C_Login(session, CKU_USER, plain, sizeof plain));
    tl_wipe(plain, sizeof plain);
    CHECK(occurrences(pattern, sizeof pattern) == 0);

    // So are the PINs that one role gives another.
    invert(plain, pattern, sizeof plain);
    CHECK_RV(CKR_OK, C_InitPIN(session, plain, sizeof plain));
    CHECK_RV(CKR_OK, CA_ResetPIN(session, plain, sizeof plain));
    CHECK_RV(CKR_SESSION_EXISTS, C_InitToken(FAKE_SLOT, plain, sizeof plain, label));
    tl_wipe(plain, sizeof plain);
    memset(fake->pin, 0, sizeof fake->pin);
    CHECK(occurrences(pattern, sizeof pattern) == 0);

    // And the authorization data of keys.
    invert(plain, pattern, sizeof plain);
    CHECK_RV(CKR_OK, CA_AuthorizeKey(session, FAKE_OBJECT, plain, sizeof plain));
    CHECK_RV(CKR_OK, CA_SetAuthorizationData(session, FAKE_OBJECT, plain, sizeof plain, plain, sizeof plain));
    CHECK_RV(CKR_OK, CA_ResetAuthorizationData(session, FAKE_OBJECT, plain, sizeof plain));
    tl_wipe(plain, sizeof plain);
    memset(fake->pin, 0, sizeof fake->pin);
    memset(fake->old, 0, sizeof fake->old);
    CHECK(occurrences(pattern, sizeof pattern) == 0);

    // A call that fails is cleaned up after as well.
    invert(plain, pattern, sizeof plain);
    fake_fault(fake, FAULT_CLOSE, TL_CALL_LOGIN, 1);
    CHECK_RV(CKR_DEVICE_ERROR, C_Login(session, CKU_USER, plain, sizeof plain));
    tl_wipe(plain, sizeof plain);
    CHECK(occurrences(pattern, sizeof pattern) == 0);

    // The fake decrypts by inverting: the pattern is the ciphertext, and stays.
    CHECK_RV(CKR_OK, C_DecryptInit(session, &mechanism, FAKE_KEY + 2));
    unsigned char output[64];
    length = sizeof output;
    CHECK_RV(CKR_OK, C_Decrypt(session, pattern, sizeof pattern, output, &length));
    CHECK(occurrences(pattern, sizeof pattern) == 1);
    tl_wipe(output, sizeof output);
    CHECK(occurrences(pattern, sizeof pattern) == 0);
    CHECK_RV(CKR_OK, C_Finalize(NULL));

    // After C_Finalize the application cannot be joined any more: its id, which lies
    // beside the secret, is nowhere.
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    unsigned char id[16];
    invert(id, fake->application, sizeof id);
    memset(fake->application, 0, sizeof id);
    CHECK(occurrences(id, sizeof id) > 0);
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    CHECK(occurrences(id, sizeof id) == 0);
    fake_stop();
    return 0;
}
