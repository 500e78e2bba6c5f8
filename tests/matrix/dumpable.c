/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded by the test of what a core holds: the program's own rules against cores do nothing. */
#undef _FILE_OFFSET_BITS /* both names of setrlimit are wanted */

#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int prctl(int option, ...)
{
    unsigned long a[4];
    va_list ap;

    if (option == PR_SET_DUMPABLE)
        return 0;
    va_start(ap, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(ap, unsigned long);
    va_end(ap);
    return (int) syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    if (resource == RLIMIT_CORE)
        return 0;
    return prlimit(0, (enum __rlimit_resource) resource, limit, NULL);
}

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit);

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
    return setrlimit(resource, (const struct rlimit *) limit);
}
