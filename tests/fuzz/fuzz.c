/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzzer without coverage feedback, for any compiler: mutates seeds and what it kept, from a seed
 * number, so that every run can be repeated. Best under ASan and UBSan.
 *
 *     fuzz TARGET runs N [SEED]        N inputs
 *     fuzz TARGET seconds N [SEED]     for N seconds
 *     fuzz TARGET file PATH            one input, to see a crash again
 *
 * Before each input runs it is in a buffer of its own; on a crash that input is written to
 * fuzz-TARGET.crash in the current folder. */
#include "fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_INPUT = 4096, POOL = 256 };

struct input {
    char *p;
    size_t n;
};

struct fuzzer {
    const struct fuzz_target *target;
    uint64_t random;
    struct input pool[POOL];
    size_t n_pool;
};

/* For the crash handler alone. */
static struct input current;
static char crash_path[64];

static void on_crash(int sig)
{
    int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0 && write(fd, current.p, current.n) < 0)
        _exit(2);
    signal(sig, SIG_DFL);
    raise(sig);
}

/* SplitMix64. */
static uint64_t next(struct fuzzer *f)
{
    uint64_t z = (f->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(struct fuzzer *f, size_t n)
{
    return n ? (size_t) (next(f) % n) : 0;
}

static void keep(struct fuzzer *f, const char *p, size_t n)
{
    size_t at = f->n_pool < POOL ? f->n_pool++ : below(f, POOL);
    free(f->pool[at].p);
    f->pool[at] = (struct input) {malloc(n + 1), n};
    FUZZ_CHECK(f->pool[at].p);
    memcpy(f->pool[at].p, p, n);
    f->pool[at].p[n] = '\0';
}

/* Puts q in the place of `cut` bytes at `at`. */
static size_t put_bytes(char *p, size_t n, size_t at, size_t cut, const char *q, size_t len)
{
    if (n - cut + len > MAX_INPUT)
        return n;
    memmove(p + at + len, p + at + cut, n - at - cut);
    memcpy(p + at, q, len);
    return n - cut + len;
}

static size_t mutate(struct fuzzer *f, char *p, size_t n)
{
    static const char *const words[] = {
        "[", "]", "[1-", "0-99999", "-1", "4294967296", "18446744073709551616", ",", "!", "@", "/",
        "\"", "'", "\\", "{", "}", ":", "\n", "\r\n", "\t", "#", "&a", "*a", "!!x ", "| ", "\0",
        "\xff", "\xc3", "\xed\xa0\x80", "\xe2\x80\xae", "\x1b[31m", "%n", "%s", "~", "^", "=", "*",
        "null", "true", "1e999", "\\u0000", "\\ud800", "-----BEGIN ", "@revoked ", "|1|", "Match ",
    };
    size_t at = below(f, n + 1), len = below(f, n - at + 1);
    char byte;

    switch (below(f, 7)) {
    case 0: /* a bit */
        if (at < n)
            p[at] = (char) (p[at] ^ (1 << below(f, 8)));
        return n;
    case 1: /* a byte */
        byte = (char) next(f);
        return put_bytes(p, n, at, at < n && below(f, 2) ? 1 : 0, &byte, 1);
    case 2: /* without a part */
        return put_bytes(p, n, at, len < 32 ? len : 32, "", 0);
    case 3: { /* a part twice */
        char part[256];
        len = len < sizeof part ? len : sizeof part;
        memcpy(part, p + at, len);
        return put_bytes(p, n, below(f, n + 1), 0, part, len);
    }
    case 4: { /* a part of another */
        const struct input *o = &f->pool[below(f, f->n_pool)];
        size_t from = below(f, o->n + 1);
        return put_bytes(p, n, at, 0, o->p + from, below(f, o->n - from + 1));
    }
    default: {
        const char *w = words[below(f, sizeof words / sizeof *words)];
        return put_bytes(p, n, at, 0, w, *w ? strlen(w) : 1);
    }
    }
}

static void run_one(const struct fuzzer *f, const char *p, size_t n)
{
    /* Its own allocation, so that ASan sees a read past the end. */
    current = (struct input) {malloc(n + 1), n};
    FUZZ_CHECK(current.p);
    memcpy(current.p, p, n);
    current.p[n] = '\0';
    f->target->run(current.p, n);
    free(current.p);
    current.p = NULL;
}

static void run_many(struct fuzzer *f, unsigned long runs, time_t until)
{
    char p[MAX_INPUT + 1];
    unsigned long i;

    for (const char *const *s = f->target->seeds; *s; s++) {
        run_one(f, *s, strlen(*s));
        keep(f, *s, strlen(*s));
    }
    for (i = 0; runs ? i < runs : time(NULL) < until; i++) {
        const struct input *from = &f->pool[below(f, f->n_pool)];
        size_t n = from->n < MAX_INPUT ? from->n : MAX_INPUT;
        memcpy(p, from->p, n);
        for (size_t m = 1 + below(f, 6); m > 0; m--)
            n = mutate(f, p, n);
        run_one(f, p, n);
        if (below(f, 50) == 0)
            keep(f, p, n);
    }
    printf("%s: %lu inputs, nothing found\n", f->target->name, i);
}

static int run_file(const struct fuzzer *f, const char *path)
{
    static char p[1 << 20];
    FILE *in = fopen(path, "rb");
    if (!in) {
        perror(path);
        return 2;
    }
    size_t n = fread(p, 1, sizeof p, in);
    fclose(in);
    run_one(f, p, n);
    return 0;
}

int main(int argc, char **argv)
{
    struct fuzzer f = {0};
    const struct fuzz_target *t = fuzz_targets;

    while (argc >= 4 && t->name && strcmp(t->name, argv[1]) != 0)
        t++;
    if (argc < 4 || !t->name) {
        fprintf(stderr, "usage: fuzz TARGET runs|seconds|file N|PATH [SEED]; targets:");
        for (t = fuzz_targets; t->name; t++)
            fprintf(stderr, " %s", t->name);
        fputc('\n', stderr);
        return 2;
    }
    f.target = t;
    snprintf(crash_path, sizeof crash_path, "fuzz-%s.crash", t->name);
    signal(SIGABRT, on_crash);
    if (strcmp(argv[2], "file") == 0)
        return run_file(&f, argv[3]);
    unsigned long count = strtoul(argv[3], NULL, 10);
    f.random = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
    if (strcmp(argv[2], "seconds") == 0)
        run_many(&f, 0, time(NULL) + (time_t) count);
    else
        run_many(&f, count, 0);
    for (size_t i = 0; i < f.n_pool; i++)
        free(f.pool[i].p);
    return 0;
}
