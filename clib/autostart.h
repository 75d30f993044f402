// Starting a server on demand, for development: a program that finds none under
// TIDELOCK_HOME runs `tidelock autostart`, which elects, starts and waits.
#ifndef TIDELOCK_AUTOSTART_H
#define TIDELOCK_AUTOSTART_H

#include <stdbool.h>

#include "config.h"

// How long a server may take until it listens.
enum { TL_AUTOSTART_SECONDS = 15 };

// tl_autostart starts the server of config->home and waits until it listens. It
// does nothing, and returns false, unless the home is marked for development
// (file `development` in it), the program runs with its caller's rights, and
// nobody but root and the effective user can change the program that is run, the
// library, the home, or a directory above them. Root's must be root's own.
bool tl_autostart(const struct tl_config *config);

#endif
