/*
 * What fuse3-sys binds: libfuse's headers, and in the folder wrapper
 * the "shim", static inline functions for what bindgen cannot serve (macros,
 * inline functions, va_list) or what differs from one libfuse to the next.
 *
 * build.rs defines FUSE_USE_VERSION and one FUSE3_HAVE_* per feature it found
 * in the headers. A function called shim_X is exported as X (shim.rs), with the
 * same signature whatever the libfuse version. Functions called fuse3_X exist
 * in no libfuse.
 */
#ifndef FUSE3_SYS_WRAPPER_H
#define FUSE3_SYS_WRAPPER_H

#include <fuse.h>
#include <fuse_lowlevel.h>
#include <cuse_lowlevel.h>
#include <fuse_opt.h>
#include <fuse_log.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Of libfuse 3.19; the second one only where it was built for systemd. */
#if __has_include(<fuse_daemonize.h>)
#include <fuse_daemonize.h>
#endif
#if __has_include(<fuse_service.h>)
#include <fuse_service.h>
#endif

/* bindgen evaluates no macro that calls another. */
enum { fuse3_header_version = FUSE_VERSION };

#include "wrapper/session.h"
#include "wrapper/highlevel.h"
#include "wrapper/cuse.h"
#include "wrapper/connection.h"
#include "wrapper/operations.h"
#include "wrapper/capabilities.h"
#include "wrapper/settings.h"
#include "wrapper/passthrough.h"
#include "wrapper/uring.h"
#include "wrapper/secctx.h"
#include "wrapper/watchdog.h"
#include "wrapper/notify.h"
#include "wrapper/log.h"
#include "wrapper/file_info.h"
#endif
