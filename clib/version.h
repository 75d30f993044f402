#ifndef TIDELOCK_VERSION_H
#define TIDELOCK_VERSION_H

// The library's version, major.minor as C_GetInfo reports it.
enum { TL_VERSION_MAJOR = 0, TL_VERSION_MINOR = 1 };

// The level of client that the library is: major*10000 + minor*100 + patch.
enum { TL_CLIENT_LEVEL = 100500 };

#endif
