/* SPDX-License-Identifier: Apache-2.0 */
/* Copies from nodes: what was packed comes out again, and nothing that a hostile node sends gets out
 * of its folder, or in half. The archives are put together here, byte by byte. */
#include "fixture.h"

#include "copy.h"
#include "copy_head.h"

#include "muster/base/hash.h"
#include "muster/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct stream {
    struct strbuf head, tar;
    char dir[200]; /* LOCALDIR */
    uint64_t max_bytes;
};

static void stream_init(struct fixture *f, struct stream *s, const char *first)
{
    strbuf_init(&s->head, (size_t) 80 << 20);
    strbuf_init(&s->tar, (size_t) 80 << 20);
    strbuf_addf(&s->head, "%s\n", first);
    snprintf(s->dir, sizeof s->dir, "%s/out", f->dir);
    s->max_bytes = COPY_MAX_BYTES_DEFAULT;
    assert_true(mkdir(s->dir, 0755) == 0 || errno == EEXIST);
}

static void add_sum(struct stream *s, const char *name, const char *data)
{
    uint8_t sum[SHA256_LEN];

    sha256_of(data, strlen(data), sum);
    for (size_t i = 0; i < SHA256_LEN; i++)
        strbuf_addf(&s->head, "%02x", sum[i]);
    strbuf_addf(&s->head, "  %s\n", name);
}

/* A header of ustar; size is what it claims. */
static void add_header(struct stream *s, char type, const char *name, const char *link,
                       const char *size, unsigned mode)
{
    char h[512] = {0};
    unsigned sum = 0;

    snprintf(h, 100, "%s", name);
    snprintf(h + 100, 8, "%07o", mode);
    snprintf(h + 108, 8, "%07o", 0u);
    snprintf(h + 116, 8, "%07o", 0u);
    snprintf(h + 124, 12, "%s", size);
    snprintf(h + 136, 12, "%011o", 0u);
    memset(h + 148, ' ', 8);
    h[156] = type;
    snprintf(h + 157, 100, "%s", link);
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof h; i++)
        sum += (unsigned char) h[i];
    snprintf(h + 148, 8, "%06o", sum);
    strbuf_add(&s->tar, h, sizeof h);
}

static void add_data(struct stream *s, const char *data)
{
    static const char zeros[512];
    size_t n = strlen(data), rest = n % 512;

    strbuf_add(&s->tar, data, n);
    strbuf_add(&s->tar, zeros, rest ? 512 - rest : 0);
}

static void add_file_mode(struct stream *s, const char *name, const char *data, unsigned mode)
{
    char size[24];

    snprintf(size, sizeof size, "%011zo", strlen(data));
    add_header(s, '0', name, "", size, mode);
    add_data(s, data);
}

static void add_file(struct stream *s, const char *name, const char *data)
{
    add_file_mode(s, name, data, 0644);
}

/* What copy_extract() says to all that. cut: so many bytes less at the end. */
static int extract(struct stream *s, size_t cut, struct copy_result *r, struct err *e)
{
    static const char zeros[1024];
    const atomic_bool stop = false;
    char path[240];

    strbuf_addch(&s->head, '\n');
    strbuf_add(&s->tar, zeros, sizeof zeros);
    snprintf(path, sizeof path, "%s/../stream", s->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, s->head.s, s->head.len), 0);
    assert_int_equal(io_write_all(fd, s->tar.s, s->tar.len - cut), 0);
    lseek(fd, 0, SEEK_SET);
    int rc = copy_extract(fd, s->dir, "n01", s->max_bytes, &stop, r, e);
    close(fd);
    strbuf_free(&s->head);
    strbuf_free(&s->tar);
    return rc;
}

/* The names in a folder but . and .. */
static size_t count_names(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

/* It was refused for this reason, and nothing is left. */
static void expect_refused(struct stream *s, size_t cut, const char *word)
{
    struct err e = ERR_INIT;
    struct copy_result r;

    int rc = extract(s, cut, &r, &e);
    if (rc == 0 || !strstr(e.msg, word))
        fail_msg("rc %d, \"%s\" is not in: %s", rc, word, rc ? e.msg : "");
    assert_int_equal(count_names(s->dir), 0);
    copy_result_clear(&r);
    err_clear(&e);
}

static void expect_text(struct stream *s, const char *name, const char *want)
{
    char path[300];
    struct strbuf b;
    struct err e = ERR_INIT;

    snprintf(path, sizeof path, "%s/n01/%s", s->dir, name);
    strbuf_init(&b, 0);
    if (io_read_file(path, 4096, &b, &e) != 0)
        fail_msg("%s", e.msg);
    assert_string_equal(b.s, want);
    strbuf_free(&b);
}

#define FOLDER COPY_PULL_MAGIC " 0 folder top"

static void test_good(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct copy_result r;
    struct stream s;
    struct stat st;
    char path[300];

    stream_init(f, &s, "printed by a login script\n" FOLDER);
    add_sum(&s, "./a", "text");
    add_sum(&s, "./sub/b", "");
    add_sum(&s, "./sub/again", "text");
    add_header(&s, '5', "./", "", "0", 0755);
    add_file_mode(&s, "./a", "text", 06755);
    add_header(&s, '5', "./sub/", "", "0", 0500);
    add_file(&s, "./sub/b", "");
    add_header(&s, '1', "./sub/again", "./a", "0", 0644);
    add_header(&s, '2', "./sub/link", "../a", "0", 0777);
    assert_int_equal(extract(&s, 0, &r, &e), 0);
    assert_int_equal(r.files, 3);
    assert_int_equal(r.bytes, 4);
    assert_int_equal(r.left.n, 0);
    copy_result_clear(&r);
    expect_text(&s, "top/a", "text");
    expect_text(&s, "top/sub/again", "text");
    expect_text(&s, "top/sub/link", "text");
    snprintf(path, sizeof path, "%s/n01/top/a", s.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755); /* nothing is set-user-ID */
    assert_int_equal(count_names(s.dir), 1);
    /* Again: files are replaced, what else is there stays. */
    stream_init(f, &s, FOLDER);
    add_sum(&s, "./a", "new");
    add_file(&s, "./a", "new");
    assert_int_equal(extract(&s, 0, &r, &e), 0);
    copy_result_clear(&r);
    expect_text(&s, "top/a", "new");
    expect_text(&s, "top/sub/again", "text");
}

static void test_leads_out(void **state)
{
    static const char *const names[] = {"../x", "/etc/x", "a/../../x", "./..", "a/../b"};
    struct stream s;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        stream_init(*state, &s, FOLDER);
        add_sum(&s, names[i], "x");
        add_file(&s, names[i], "x");
        expect_refused(&s, 0, "leads out");
    }
    static const char *const firsts[] = {
        COPY_PULL_MAGIC " 0 folder ..", COPY_PULL_MAGIC " 0 folder a/b",
        COPY_PULL_MAGIC " 0 folder ", COPY_PULL_MAGIC " -1 folder a", "nothing of ours"};
    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        stream_init(*state, &s, firsts[i]);
        expect_refused(&s, 0, "does not begin");
    }
}

static void test_links(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct copy_result r;
    struct stream s;
    char path[300], to[400];

    /* A link, then a file through it. */
    snprintf(to, sizeof to, "%s/elsewhere", f->dir);
    assert_int_equal(mkdir(to, 0755), 0);
    stream_init(f, &s, FOLDER);
    add_sum(&s, "./l/x", "x");
    add_header(&s, '2', "./l", to, "0", 0777);
    add_file(&s, "./l/x", "x");
    assert_int_equal(extract(&s, 0, &r, &e), 0); /* l is a folder; the link was not taken */
    assert_int_equal(r.left.n, 1);
    assert_non_null(strstr(r.left.v[0], "leads out"));
    copy_result_clear(&r);
    expect_text(&s, "top/l/x", "x");
    assert_int_equal(count_names(to), 0);

    stream_init(f, &s, FOLDER);
    add_sum(&s, "./ok", "x");
    add_file(&s, "./ok", "x");
    add_header(&s, '2', "./up", "..", "0", 0777);
    add_header(&s, '2', "./d/up", "../../x", "0", 0777);
    add_header(&s, '2', "./d/in", "../ok", "0", 0777);
    add_header(&s, '3', "./dev", "", "0", 0666);
    add_header(&s, '6', "./pipe", "", "0", 0666);
    assert_int_equal(extract(&s, 0, &r, &e), 0);
    assert_int_equal(r.left.n, 4);
    copy_result_clear(&r);
    expect_text(&s, "top/d/in", "x");
    snprintf(path, sizeof path, "%s/n01/top/dev", s.dir);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/n01", s.dir);
    assert_int_equal(count_names(path), 1);
}

/* Links that lead out by way of each other: d/l is the folder itself, so d/l/../.. is above it. */
static void test_links_of_links(void **state)
{
    static const char *const bad[] = {"l/../..", "l/..", "./l/./../../x", "x/../l/../../y"};
    static const char *const good[] = {"l/x", ".././ok", "../d//l"};
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct copy_result r;
    struct stream s;
    char path[300];

    stream_init(f, &s, FOLDER);
    add_sum(&s, "./ok", "x");
    add_file(&s, "./ok", "x");
    add_header(&s, '2', "./d/l", "..", "0", 0777);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(path, sizeof path, "./d/bad%zu", i);
        add_header(&s, '2', path, bad[i], "0", 0777);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        snprintf(path, sizeof path, "./d/good%zu", i);
        add_header(&s, '2', path, good[i], "0", 0777);
    }
    assert_int_equal(extract(&s, 0, &r, &e), 0);
    assert_int_equal(r.left.n, ARRAY_LEN(bad));
    for (size_t i = 0; i < r.left.n; i++)
        assert_non_null(strstr(r.left.v[i], "leads out"));
    copy_result_clear(&r);
    snprintf(path, sizeof path, "%s/n01/top/d", s.dir);
    assert_int_equal(count_names(path), 1 + ARRAY_LEN(good));
    expect_text(&s, "top/d/good1", "x");
}

/* What a node says of modes goes no further than the umask. */
static void test_modes(void **state)
{
    static const struct {
        const char *name;
        mode_t mask, want;
    } cases[] = {{"a", 022, 0644},     {"run", 022, 0755},   {"shut", 022, 0400},
                 {"d", 022, 0755},     {"d/e", 022, 0750},   {"implied", 022, 0755},
                 {"", 022, 0755},      {"a", 077, 0600},     {"run", 077, 0700},
                 {"d", 077, 0700},     {"implied", 077, 0700}, {"", 077, 0700}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture *f = *state;
        struct err e = ERR_INIT;
        struct copy_result r;
        struct stream s;
        struct stat st;
        char path[300];
        mode_t before = umask(cases[i].mask);

        stream_init(f, &s, FOLDER);
        snprintf(s.dir, sizeof s.dir, "%s/out/%zu", f->dir, i);
        assert_int_equal(mkdir(s.dir, 0755), 0);
        add_sum(&s, "./a", "");
        add_sum(&s, "./run", "");
        add_sum(&s, "./shut", "");
        add_sum(&s, "./implied/x", "");
        add_header(&s, '5', "./", "", "0", 0777);
        add_file_mode(&s, "./a", "", 0666);
        add_file_mode(&s, "./run", "", 0777);
        add_file_mode(&s, "./shut", "", 0);
        add_header(&s, '5', "./d/", "", "0", 0777);
        add_header(&s, '5', "./d/e/", "", "0", 0050);
        add_file(&s, "./implied/x", "");
        assert_int_equal(extract(&s, 0, &r, &e), 0);
        copy_result_clear(&r);
        umask(before);
        snprintf(path, sizeof path, "%s/n01/top/%s", s.dir, cases[i].name);
        assert_int_equal(stat(path, &st), 0);
        if ((st.st_mode & 07777) != cases[i].want)
            fail_msg("%s with umask %03o is %04o", cases[i].name, cases[i].mask, st.st_mode & 07777);
    }
}

/* A file of GNU tar's sparse kind: one block in the stream, whatever size it claims. */
static void add_sparse(struct stream *s, const char *name, uint64_t size)
{
    size_t at = s->tar.len;
    unsigned sum = 0;

    add_header(s, 'S', name, "", "00000001000", 0644);

    char *h = s->tar.s + at;

    memcpy(h + 257, "ustar  ", 8);
    memset(h + 345, 0, 155);
    snprintf(h + 386, 12, "%011llo", (unsigned long long) size - 512); /* where its block is */
    snprintf(h + 398, 12, "%011o", 512u);
    snprintf(h + 483, 12, "%011llo", (unsigned long long) size);
    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char) h[i];
    snprintf(h + 148, 8, "%06o", sum);
    for (size_t i = 0; i < 512; i++)
        strbuf_addch(&s->tar, 'x');
}

static void test_sparse(void **state)
{
    const size_t size = 100000;
    CLEANUP_FREE char *text = x_calloc(1, size + 1);
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct copy_result r;
    struct stream s;
    char hex[2 * SHA256_LEN + 1];
    uint8_t sum[SHA256_LEN];

    memset(text + size - 512, 'x', 512);
    sha256_of(text, size, sum);
    for (size_t i = 0; i < sizeof sum; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    /* Up to the limit it is a file like others; two of them are one too many. */
    for (unsigned n = 1; n <= 2; n++) {
        stream_init(f, &s, FOLDER);
        s.max_bytes = 2 * size - 1;
        for (unsigned i = 0; i < n; i++) {
            char name[8];

            snprintf(name, sizeof name, "./%u", i);
            strbuf_addf(&s.head, "%s  %s\n", hex, name);
            add_sparse(&s, name, size);
        }
        if (n == 2)
            break;
        assert_int_equal(extract(&s, 0, &r, &e), 0);
        assert_int_equal(r.bytes, size);
        copy_result_clear(&r);
        CLEANUP_FREE char *made = io_join(s.dir, "n01");
        copy_remove(made);
    }
    expect_refused(&s, 0, "--max-output");
    /* 4 GB of which 512 bytes came. */
    stream_init(f, &s, FOLDER);
    add_sum(&s, "./a", "x");
    s.max_bytes = 1 << 20;
    add_sparse(&s, "./a", (uint64_t) 4 << 30);
    expect_refused(&s, 0, "--max-output");
}

/* What has to be kept of names has a limit, in the list and in the archive. */
static void test_many_names(void **state)
{
    char name[101], hex[65];
    struct stream s;

    memset(hex, 'a', 64);
    hex[64] = '\0';
    stream_init(*state, &s, FOLDER);
    CLEANUP_FREE char *longest = x_malloc(16001);
    memset(longest, 'n', 16000);
    longest[16000] = '\0';
    for (size_t i = 0; i < ((size_t) 64 << 20) / 16000 + 1; i++)
        strbuf_addf(&s.head, "%s  %s\n", hex, longest);
    expect_refused(&s, 0, "64 MB of names");
    /* Links with texts of 300 kB, which a header of pax has room for. */
    stream_init(*state, &s, FOLDER);
    CLEANUP_FREE char *target = x_malloc(300001);
    memset(target, 't', 300000);
    target[300000] = '\0';
    for (unsigned i = 0; i < 230; i++) {
        char size[24];
        CLEANUP_FREE char *pax = x_asprintf("300017 linkpath=%s\n", target);

        assert_int_equal(strlen(pax), 300017);
        snprintf(size, sizeof size, "%011zo", strlen(pax));
        add_header(&s, 'x', "pax", "", size, 0644);
        add_data(&s, pax);
        snprintf(name, sizeof name, "./%u", i);
        add_header(&s, '2', name, "t", "0", 0777);
    }
    expect_refused(&s, 0, "64 MB of names");
}

static void test_bad_hardlink(void **state)
{
    struct stream s;

    stream_init(*state, &s, FOLDER);
    add_sum(&s, "./x", "x");
    add_header(&s, '1', "./x", "/etc/passwd", "0", 0644);
    expect_refused(&s, 0, "leads out");
    stream_init(*state, &s, FOLDER);
    add_sum(&s, "./x", "x");
    add_header(&s, '1', "./x", "./not-there", "0", 0644);
    expect_refused(&s, 0, "did not send");
}

static void test_wrong(void **state)
{
    struct stream s;

    stream_init(*state, &s, FOLDER);
    add_sum(&s, "./a", "this");
    add_file(&s, "./a", "that");
    expect_refused(&s, 0, "differs");
    stream_init(*state, &s, FOLDER); /* one that was not told of */
    add_file(&s, "./a", "that");
    expect_refused(&s, 0, "have a sum");
    stream_init(*state, &s, FOLDER); /* one that did not come */
    add_sum(&s, "./a", "a");
    add_sum(&s, "./b", "b");
    add_file(&s, "./a", "a");
    expect_refused(&s, 0, "did not arrive");
    stream_init(*state, &s, FOLDER); /* one that comes twice */
    add_sum(&s, "./a", "a");
    add_file(&s, "./a", "b");
    add_file(&s, "./a", "a");
    expect_refused(&s, 0, "File exists");
    stream_init(*state, &s, FOLDER);
    strbuf_adds(&s.head, "no sum  ./a\n");
    expect_refused(&s, 0, "bad list");
    stream_init(*state, &s, COPY_PULL_MAGIC " 1 file a"); /* another than the one asked for */
    add_sum(&s, "./b", "b");
    add_file(&s, "./b", "b");
    expect_refused(&s, 0, "not asked for");
}

static void test_cut(void **state)
{
    struct stream s;
    char long_text[3000];

    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    /* In the data; and a header that claims more than comes. */
    stream_init(*state, &s, FOLDER);
    add_sum(&s, "./a", long_text);
    add_file(&s, "./a", long_text);
    expect_refused(&s, 1024 + 1500, "no whole archive");
    stream_init(*state, &s, FOLDER);
    add_sum(&s, "./a", "a");
    add_header(&s, '0', "./a", "", "77777777777", 0644);
    add_data(&s, "a");
    expect_refused(&s, 0, "no whole archive");
    /* In the sums: no empty line after them, so the tar is read as one. */
    stream_init(*state, &s, FOLDER);
    add_sum(&s, "./a", "a");
    s.head.len -= 30;
    s.head.s[s.head.len] = '\0';
    expect_refused(&s, 0, "sums");
}

static void test_grows(void **state)
{
    struct err e = ERR_INIT;
    struct copy_result r;
    struct stream s;

    stream_init(*state, &s, COPY_PULL_MAGIC " 5 file log");
    add_sum(&s, "./log", "line\n");
    add_file(&s, "./log", "line\nmore\n");
    assert_int_equal(extract(&s, 0, &r, &e), 0);
    copy_result_clear(&r);
    expect_text(&s, "log", "line\nmore\n");
    /* Rewritten is not grown. */
    stream_init(*state, &s, COPY_PULL_MAGIC " 5 file log");
    add_sum(&s, "./log", "line\n");
    add_file(&s, "./log", "LINE\nmore\n");
    assert_int_equal(extract(&s, 0, &r, &e), -ERR_VALIDATION);
    copy_result_clear(&r);
    err_clear(&e);
    expect_text(&s, "log", "line\nmore\n");
}

static void test_node_folder(void **state)
{
    static const char *const names[][2] = {
        {"web01", "web01"}, {"..", "%2e."}, {"a/b", "a%2fb"}, {"[::1]", "%5b::1%5d"}, {"-x", "%2dx"}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP_FREE char *got = copy_node_folder(names[i][0]);
        assert_string_equal(got, names[i][1]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good),        TEST(test_leads_out),   TEST(test_links),
        TEST(test_links_of_links), TEST(test_modes),    TEST(test_sparse),
        TEST(test_many_names),
        TEST(test_bad_hardlink), TEST(test_wrong),      TEST(test_cut),
        TEST(test_grows),       TEST(test_node_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
