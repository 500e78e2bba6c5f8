/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an open file by sftp: several requests are on their way at once, answers may come in any
 * order and shorter than asked for, and the bytes are handed out in the file's order. */
#include "ssh_sftp.h"

#include "muster/base/alloc.h"

#include <string.h>

static struct read_slot *slot_at(struct reads *r, unsigned i)
{
    return &r->slot[(r->first + i) % SFTP_REQUESTS];
}

void reads_clear(struct sftp *f)
{
    for (unsigned i = 0; i < SFTP_REQUESTS; i++)
        free(X_STEAL(f->reads.slot[i].data));
    memset(&f->reads, 0, sizeof f->reads);
}

void reads_begin(struct sftp *f, uint64_t size)
{
    reads_clear(f);
    f->reads.end = size;
}

static void ask(struct sftp *f, struct read_slot *s)
{
    s->id = sftp_ask(f, FXP_READ);
    wire_bytes(&f->wire, f->handle, f->handle_len);
    wire_u64(&f->wire, s->at + s->got);
    wire_u32(&f->wire, (uint32_t) (s->want - s->got));
    wire_end(&f->wire);
}

void reads_ask(struct sftp *f)
{
    struct reads *r = &f->reads;

    while (r->n < SFTP_REQUESTS && r->next < r->end && !r->cut) {
        struct read_slot *s = slot_at(r, r->n++);
        uint64_t left = r->end - r->next;

        if (!s->data)
            s->data = x_malloc(SFTP_CHUNK);
        s->at = r->next;
        s->want = left < SFTP_CHUNK ? (size_t) left : SFTP_CHUNK;
        s->got = 0;
        s->done = false;
        r->next += s->want;
        ask(f, s);
    }
}

bool reads_answer(struct sftp *f, struct answer *a)
{
    struct reads *r = &f->reads;
    struct read_slot *s = NULL;
    size_t n = 0;

    for (unsigned i = 0; i < r->n; i++)
        if (slot_at(r, i)->id == a->id && !slot_at(r, i)->done)
            s = slot_at(r, i);
    if (!s || (a->type != FXP_DATA && sftp_status(a) != FX_EOF))
        return false;

    const char *p = a->type == FXP_DATA ? answer_bytes(a, &n) : "";

    if (a->bad || n > s->want - s->got || (a->type == FXP_DATA && !n))
        return false;
    memcpy(s->data + s->got, p, n);
    s->got += n;
    s->done = a->type == FXP_STATUS || s->got == s->want;
    r->cut |= a->type == FXP_STATUS;
    if (!s->done)
        ask(f, s);
    return true;
}

const char *reads_take(struct sftp *f, size_t *n)
{
    struct reads *r = &f->reads;

    while (r->n && r->slot[r->first].done) {
        struct read_slot *s = &r->slot[r->first];

        r->first = (r->first + 1) % SFTP_REQUESTS;
        r->n--;
        if (!s->got)
            continue;
        *n = s->got;
        r->came += s->got;
        return s->data;
    }
    return NULL;
}

bool reads_over(const struct sftp *f)
{
    return !f->reads.n && (f->reads.cut || f->reads.next == f->reads.end);
}
