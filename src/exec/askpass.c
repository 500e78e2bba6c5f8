/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of the question of an ssh child: the program that ssh runs, and the helper that answers.
 *
 * The program connects, writes "KIND\nTEXT", closes that way, and reads "+ANSWER" or nothing. Who may
 * ask is anybody of this user, who could read our memory as well. */
#include "askpass.h"

#include "helpers.h"
#include "openssh.h"
#include "ssh_key.h"
#include "ssh_keyring.h"
#include "ssh_shared.h"
#include "ssh_conf.h"

#include "muster/base/alloc.h"
#include "muster/base/io.h"
#include "muster/base/secret.h"
#include "muster/base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_MS 5000 /* the other end is our own program */

static bool set_address(struct sockaddr_un *a, const char *path)
{
    *a = (struct sockaddr_un) {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a->sun_path)
        return false;
    memcpy(a->sun_path, path, strlen(path) + 1);
    return true;
}

int askpass_listen(const char *path)
{
    struct sockaddr_un a;
    int fd;

    if (!set_address(&a, path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* The folder is 0700 already. */
    if (bind(fd, (struct sockaddr *) &a, sizeof a) == 0 && chmod(path, 0600) == 0 &&
        listen(fd, 8) == 0)
        return fd;

    int error = errno;

    close(fd);
    errno = error;
    return -1;
}

/* --- the program --- */

bool askpass_wanted(void)
{
    const char *path = getenv(ASKPASS_ENV);

    return path && *path;
}

int askpass_main(int argc, char **argv)
{
    const char *kind = getenv("SSH_ASKPASS_PROMPT");
    const char *text = argc > 1 ? argv[1] : "";
    char answer[SECRET_MAX + 2];
    struct sockaddr_un a;
    size_t n = 0;
    ssize_t got;

    if (kind && strcmp(kind, "none") == 0) {
        /* A notice ("touch the key"), which ssh takes away by ending us. */
        pause();
        return 0;
    }

    CLEANUP_FREE char *ask = x_asprintf("%s\n%.*s", kind ? kind : "", ASKPASS_PROMPT_MAX / 2, text);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || !set_address(&a, getenv(ASKPASS_ENV)) ||
        connect(fd, (struct sockaddr *) &a, sizeof a) != 0 ||
        io_write_all(fd, ask, strlen(ask)) != 0 || shutdown(fd, SHUT_WR) != 0)
        return 1;
    while (n < sizeof answer && (got = read(fd, answer + n, sizeof answer - n)) > 0)
        n += (size_t) got;

    bool good = n > 0 && answer[0] == '+' && io_write_all(STDOUT_FILENO, answer + 1, n - 1) == 0 &&
                io_write_all(STDOUT_FILENO, "\n", 1) == 0;

    secret_wipe(answer, sizeof answer);
    return good ? 0 : 1;
}

/* --- the helper --- */

void question_free(void *arg)
{
    struct question_work *q = arg;

    if (!q)
        return;
    if (q->conn >= 0)
        close(q->conn);
    secret_unref(q->password);
    free(q->node);
    strv_clear(&q->askers);
    free(q->phrase);
    free(q->why);
    free(q);
}

static bool is_ours(int fd)
{
    struct ucred peer = {.uid = (uid_t) -1};
    socklen_t n = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

/* The whole question, up to the end of the stream. */
static bool read_all(int fd, char *buf, size_t size)
{
    size_t n = 0;

    while (n + 1 < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (poll(&p, 1, READ_MS) <= 0)
            return false;

        ssize_t got = read(fd, buf + n, size - 1 - n);

        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (got == 0)
            break;
        n += got > 0 ? (size_t) got : 0;
    }
    buf[n] = '\0';
    return n > 0;
}

static bool wants_password(const char *prompt)
{
    size_t n = strlen(prompt);

    while (n && prompt[n - 1] == ' ')
        n--;
    return n >= 8 && strncasecmp(prompt + n - 8, "assword:", 8) == 0;
}

/* Each host on the way that the configuration names gets it once: one that asks again says that it
 * was wrong. Nobody else gets it, whatever a prompt looks like. */
static bool may_have_password(struct question_work *q, const char *prompt)
{
    for (size_t i = 0; i < q->askers.n; i++) {
        uint64_t bit = (uint64_t) 1 << i / ASKPASS_FORMS % 64;

        if (strncasecmp(prompt, q->askers.v[i], strlen(q->askers.v[i])) == 0 && !(q->given & bit)) {
            q->given |= bit;
            return true;
        }
    }
    return false;
}

/* Only ssh itself asks like this, for a key that all nodes may need: not a server. With a password
 * at hand servers can ask too, and before 8.5 ssh did not put their names before what they wrote. */
static bool asks_for_key(const struct question_work *q, const char *prompt, struct help *help)
{
    return (strncmp(prompt, "Enter passphrase for ", 21) == 0 ||
            strncmp(prompt, "Enter PIN for ", 14) == 0) &&
           ((!q->password && !q->others) || conf_names_askers(help));
}

/* The file that ssh asks the passphrase of, when it is one that can be tried here. A reference. */
static struct ssh_key *locked_key(const struct question_work *q, const char *prompt)
{
    static const char head[] = "Enter passphrase for key '", tail[] = "': ";
    size_t n = strlen(prompt);

    if (n < sizeof head + sizeof tail || strncmp(prompt, head, sizeof head - 1) != 0 ||
        strcmp(prompt + n - (sizeof tail - 1), tail) != 0)
        return NULL;

    CLEANUP_FREE char *path = x_strndup(prompt + sizeof head - 1,
                                        n - (sizeof head - 1) - (sizeof tail - 1));
    struct ssh_key *key = shared_key(openssh_conf(q->shared), path);

    if (key->locked)
        return key;
    ssh_key_unref(key);
    return NULL;
}

/* Of a key, whoever needs it: asked once for all nodes, and tried here, as ssh gets one try. */
static struct secret *passphrase(struct question_work *q, const char *prompt, const char *clean,
                                 struct help *help)
{
    struct keyring *ring = shared_keyring(openssh_conf(q->shared));
    struct ssh_key *key = locked_key(q, prompt);
    CLEANUP_FREE char *why = NULL;
    struct secret *answer;

    if (key) {
        answer = keyring_phrase(ring, key, help, &why);
        if (why) {
            char *all = x_asprintf("%s%s%s: %s", q->why ? q->why : "", q->why ? ", " : "",
                                   key->path, why);

            free(q->why);
            q->why = all;
        }
        ssh_key_unref(key);
        return answer;
    }
    answer = keyring_ask(ring, prompt, clean, help);
    if (answer) {
        free(q->phrase);
        q->phrase = x_strdup(prompt);
    }
    return answer;
}

static struct secret *find_answer(struct question_work *q, const char *kind, const char *prompt,
                                  struct help *help)
{
    /* What ssh we did not start ourselves asks (a ProxyCommand's): trust is not given that way. */
    if (strstr(prompt, "authenticity of host "))
        return NULL;
    if (wants_password(prompt)) {
        if (!q->password)
            return NULL;
        if (may_have_password(q, prompt))
            return secret_ref(q->password);
    }

    CLEANUP_FREE char *clean = text_clean(prompt);

    if (asks_for_key(q, prompt, help))
        return passphrase(q, prompt, clean, help);
    return help_ask(help, q->node, clean, strcmp(kind, "confirm") == 0);
}

static void answer_one(struct question_work *q, struct help *help)
{
    char buf[ASKPASS_PROMPT_MAX], reply[SECRET_MAX + 2];
    char *nl;

    if (!is_ours(q->conn) || !read_all(q->conn, buf, sizeof buf) || !(nl = strchr(buf, '\n')))
        return;
    *nl = '\0';

    struct secret *answer = find_answer(q, buf, nl + 1, help);

    if (answer) {
        reply[0] = '+';
        memcpy(reply + 1, secret_text(answer), secret_len(answer));
        /* Who asked may be gone: nothing is to be done about it then. */
        ssize_t sent = send(q->conn, reply, secret_len(answer) + 1, MSG_NOSIGNAL);

        (void) sent;
        secret_wipe(reply, sizeof reply);
        secret_unref(answer);
    }
}

void question_answer(void *arg, struct help *help)
{
    struct question_work *q = arg;

    answer_one(q, help);
    close(q->conn);
    q->conn = -1;
}
