/* SPDX-License-Identifier: Apache-2.0 */
/* The schema and its numbered migrations. */
#include "schema.h"

#include "muster/base/alloc.h"
#include "muster/base/err.h"
#include "muster/base/strbuf.h"

/* How the tables are laid out, and why:
 *
 * - The execution rows of a batch have consecutive ids: first_execution + batch_position. So an
 *   event finds its row, and a reader its page by position, with no index. name_rank is the place
 *   in natural order within the batch, so a page by name is a range of an index that is written
 *   only at creation.
 * - node_key is a short hash of the node's name (schema_node_key): a batch of 10,000 adds an entry
 *   at as many places of that index, so its size decides what creating a batch costs in a long
 *   history.
 * - Counters stand on the batch row and change in the transaction of the rows that they count.
 *   batch_counts holds the number of batches of each kind, so a history of any length knows its
 *   length.
 * - Long texts come last in a row: a scan by the short columns does not touch them.
 * - An output's chunks have ids output << 24 | number of the chunk: consecutive, with no index.
 *   hash is NULL while the output grows. */
static const char migration_1[] =
    "CREATE TABLE owners ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " host TEXT NOT NULL, boot_id TEXT NOT NULL, pid_ns TEXT NOT NULL,"
    " pid INTEGER NOT NULL, start_time INTEGER NOT NULL, since INTEGER NOT NULL);"

    "CREATE TABLE batch_executions ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " id TEXT NOT NULL UNIQUE,"
    " type TEXT NOT NULL CHECK (type IN ('command', 'task', 'plan')),"
    " status TEXT NOT NULL CHECK (status IN"
    "  ('running', 'success', 'failed', 'partial', 'cancelled')),"
    " single INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, started_at INTEGER, completed_at INTEGER,"
    " first_execution INTEGER NOT NULL,"
    " owner INTEGER REFERENCES owners (id),"
    " cancel_requested_at INTEGER,"
    " rerun_of INTEGER, fanout INTEGER NOT NULL,"
    " stats_total INTEGER NOT NULL, stats_queued INTEGER NOT NULL,"
    " stats_running INTEGER NOT NULL DEFAULT 0, stats_success INTEGER NOT NULL DEFAULT 0,"
    " stats_failed INTEGER NOT NULL DEFAULT 0, stats_exit INTEGER NOT NULL DEFAULT 0,"
    " stats_signal INTEGER NOT NULL DEFAULT 0, stats_timeout INTEGER NOT NULL DEFAULT 0,"
    " stats_unreachable INTEGER NOT NULL DEFAULT 0,"
    " stats_unsupported INTEGER NOT NULL DEFAULT 0, stats_hostkey INTEGER NOT NULL DEFAULT 0,"
    " stats_auth INTEGER NOT NULL DEFAULT 0, stats_lost INTEGER NOT NULL DEFAULT 0,"
    " stats_cancelled INTEGER NOT NULL DEFAULT 0, stats_skipped INTEGER NOT NULL DEFAULT 0,"
    " stats_internal INTEGER NOT NULL DEFAULT 0,"
    " user_id TEXT NOT NULL, label TEXT, targets TEXT NOT NULL, action TEXT NOT NULL,"
    " parameters TEXT, target_groups TEXT NOT NULL, warnings TEXT);"
    "CREATE INDEX idx_batch_executions_status ON batch_executions (status);"
    "CREATE INDEX idx_batch_executions_created ON batch_executions (created_at);"
    "CREATE INDEX idx_batch_executions_owner ON batch_executions (owner)"
    " WHERE owner IS NOT NULL;"

    "CREATE TABLE batch_counts ("
    " type TEXT NOT NULL, status TEXT NOT NULL, single INTEGER NOT NULL, n INTEGER NOT NULL,"
    " PRIMARY KEY (type, status, single)) WITHOUT ROWID;"
    "CREATE TRIGGER batch_counts_insert AFTER INSERT ON batch_executions BEGIN"
    " INSERT INTO batch_counts VALUES (new.type, new.status, new.single, 1)"
    "  ON CONFLICT DO UPDATE SET n = n + 1; END;"
    "CREATE TRIGGER batch_counts_delete AFTER DELETE ON batch_executions BEGIN"
    " UPDATE batch_counts SET n = n - 1"
    "  WHERE type = old.type AND status = old.status AND single = old.single; END;"
    "CREATE TRIGGER batch_counts_status AFTER UPDATE OF status ON batch_executions"
    " WHEN old.status <> new.status BEGIN"
    " UPDATE batch_counts SET n = n - 1"
    "  WHERE type = old.type AND status = old.status AND single = old.single;"
    " INSERT INTO batch_counts VALUES (new.type, new.status, new.single, 1)"
    "  ON CONFLICT DO UPDATE SET n = n + 1; END;"

    "CREATE TABLE executions ("
    " id INTEGER PRIMARY KEY,"
    " batch_number INTEGER NOT NULL REFERENCES batch_executions (number),"
    " batch_position INTEGER NOT NULL, name_rank INTEGER NOT NULL,"
    " status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'success', 'failed')),"
    " reason TEXT, finished_seq INTEGER,"
    " started_at INTEGER, completed_at INTEGER, duration INTEGER,"
    " exit_code INTEGER, signal TEXT, attempts INTEGER NOT NULL DEFAULT 0,"
    " stdout_id INTEGER NOT NULL DEFAULT 0, stderr_id INTEGER NOT NULL DEFAULT 0,"
    " stdout_size INTEGER NOT NULL DEFAULT 0, stderr_size INTEGER NOT NULL DEFAULT 0,"
    " stdout_truncated INTEGER NOT NULL DEFAULT 0,"
    " stderr_truncated INTEGER NOT NULL DEFAULT 0,"
    " node_key INTEGER NOT NULL, node_name TEXT NOT NULL,"
    " transport TEXT, host TEXT, port INTEGER, user TEXT, remote_process TEXT, error TEXT);"
    "CREATE INDEX idx_executions_name ON executions (batch_number, name_rank);"
    "CREATE INDEX idx_executions_finished ON executions (batch_number, finished_seq)"
    " WHERE finished_seq IS NOT NULL;"
    "CREATE INDEX idx_executions_node ON executions (node_key);"

    "CREATE TABLE outputs ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB UNIQUE, size INTEGER NOT NULL);"
    "CREATE TABLE output_chunks (id INTEGER PRIMARY KEY, data BLOB NOT NULL);";

/* How far a copy is. NULL: it is none. */
static const char migration_2[] =
    "ALTER TABLE executions ADD COLUMN bytes_done INTEGER;"
    "ALTER TABLE executions ADD COLUMN bytes_total INTEGER;";

/* Why a transport is not the usual one. NULL: it is. */
static const char migration_3[] = "ALTER TABLE executions ADD COLUMN note TEXT;";

/* Its owner starts nothing more of it. */
static const char migration_4[] =
    "ALTER TABLE batch_executions ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;";

/* Plans, and what is known about nodes and said of things. A step's row is found by its execution's
 * id, so all steps of a batch are one range, as its executions are; most have no texts. */
static const char migration_5[] =
    "ALTER TABLE batch_executions ADD COLUMN step_titles TEXT;"
    "ALTER TABLE executions ADD COLUMN step INTEGER;"
    "CREATE TABLE execution_steps ("
    " execution INTEGER NOT NULL REFERENCES executions (id), step INTEGER NOT NULL,"
    " status TEXT NOT NULL CHECK (status IN ('running', 'success', 'failed')),"
    " reason TEXT, started_at INTEGER, completed_at INTEGER, duration INTEGER,"
    " exit_code INTEGER, signal TEXT,"
    " stdout_id INTEGER NOT NULL DEFAULT 0, stderr_id INTEGER NOT NULL DEFAULT 0,"
    " stdout_size INTEGER NOT NULL DEFAULT 0, stderr_size INTEGER NOT NULL DEFAULT 0,"
    " stdout_truncated INTEGER NOT NULL DEFAULT 0,"
    " stderr_truncated INTEGER NOT NULL DEFAULT 0,"
    " remote_process TEXT, error TEXT, note TEXT,"
    " PRIMARY KEY (execution, step)) WITHOUT ROWID;"
    "CREATE TABLE node_facts ("
    " node_name TEXT PRIMARY KEY, learned_at INTEGER NOT NULL, batch_number INTEGER NOT NULL,"
    " facts TEXT NOT NULL);"
    "CREATE TABLE saved_targets ("
    " name TEXT PRIMARY KEY, targets TEXT NOT NULL, user_id TEXT NOT NULL,"
    " saved_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE notes ("
    " id INTEGER PRIMARY KEY, node_name TEXT, batch_number INTEGER,"
    " written_at INTEGER NOT NULL, user_id TEXT NOT NULL, text TEXT NOT NULL,"
    " CHECK ((node_name IS NULL) <> (batch_number IS NULL)));"
    "CREATE INDEX idx_notes_node ON notes (node_name) WHERE node_name IS NOT NULL;"
    "CREATE INDEX idx_notes_batch ON notes (batch_number) WHERE batch_number IS NOT NULL;";

/* Never change one that was released: add the next. */
static const char *const migrations[SCHEMA_VERSION] = {migration_1, migration_2, migration_3,
                                                       migration_4, migration_5};

int64_t schema_node_key(const char *node)
{
    uint64_t h = 0xcbf29ce484222325U; /* FNV-1a */

    for (; *node; node++)
        h = (h ^ (unsigned char) *node) * 0x100000001b3U;
    /* 48 bits: SQLite stores them in 6 bytes. Names are compared too where rows are read. */
    return (int64_t) (h >> 16);
}

void stats_from_row(sqlite3_stmt *st, int col, struct batch_stats *s)
{
    *s = (struct batch_stats){0};
    s->total = (uint32_t) sqlite3_column_int64(st, col);
    s->queued = (uint32_t) sqlite3_column_int64(st, col + 1);
    s->running = (uint32_t) sqlite3_column_int64(st, col + 2);
    s->success = (uint32_t) sqlite3_column_int64(st, col + 3);
    s->failed = (uint32_t) sqlite3_column_int64(st, col + 4);
    for (int r = 1; r < REASON_COUNT; r++)
        s->by_reason[r] = (uint32_t) sqlite3_column_int64(st, col + 4 + r);
}

int stats_bind(sqlite3_stmt *st, int first, const struct batch_stats *s)
{
    int rc = sqlite3_bind_int64(st, first, s->total);
    rc |= sqlite3_bind_int64(st, first + 1, s->queued);
    rc |= sqlite3_bind_int64(st, first + 2, s->running);
    rc |= sqlite3_bind_int64(st, first + 3, s->success);
    rc |= sqlite3_bind_int64(st, first + 4, s->failed);
    for (int r = 1; r < REASON_COUNT; r++)
        rc |= sqlite3_bind_int64(st, first + 4 + r, s->by_reason[r]);
    return rc;
}

static int pragma_int(struct sql *s, const char *text, int64_t *out)
{
    sqlite3_stmt *st = sql_get(s, text);
    int rc = st ? sqlite3_step(st) : sql_code(s);

    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(st, 0);
        rc = SQLITE_OK;
    }
    sql_done(st);
    return rc;
}

/* All three of one moment: another process may be setting the file up right now. */
static int read_marks(struct sql *s, int64_t *version, int64_t *app, int64_t *tables)
{
    int rc = sql_exec(s, "SAVEPOINT marks");

    if (rc != SQLITE_OK)
        return rc;
    rc = pragma_int(s, "PRAGMA user_version", version);
    if (rc == SQLITE_OK)
        rc = pragma_int(s, "PRAGMA application_id", app);
    if (rc == SQLITE_OK)
        rc = pragma_int(s, "SELECT count(*) FROM sqlite_schema", tables);
    int end = sql_exec(s, "RELEASE marks");
    return rc != SQLITE_OK ? rc : end;
}

int schema_check(struct sql *s, bool *empty, struct err *e)
{
    int64_t version = 0, app = 0, tables = 0;
    int rc = read_marks(s, &version, &app, &tables);

    if (rc != SQLITE_OK)
        return sql_err(s, rc, "Opening", e);
    *empty = version == 0 && tables == 0;
    if (*empty)
        return 0;
    if (app != SCHEMA_APPLICATION_ID)
        return err_set(e, ERR_STORE,
                       "%s is a database, but not one of muster. Name another with --db.",
                       s->path);
    if (version > SCHEMA_VERSION)
        return err_set(e, ERR_STORE,
                       "%s was written by a newer muster (schema %lld, this one knows %d). Use "
                       "that muster, or name another database with --db.",
                       s->path, (long long) version, SCHEMA_VERSION);
    return 0;
}

bool schema_is_old(struct sql *s)
{
    return sql_int(s, "PRAGMA user_version", SCHEMA_VERSION) < SCHEMA_VERSION;
}

static int migrate_locked(struct sql *s, struct err *e)
{
    bool empty = false;
    int64_t version = 0;

    /* Another process may have come first: look again under the lock. */
    if (schema_check(s, &empty, e))
        return -ERR_STORE;
    int rc = pragma_int(s, "PRAGMA user_version", &version);
    for (; rc == SQLITE_OK && version < SCHEMA_VERSION; version++) {
        rc = sql_exec(s, migrations[version]);
        if (rc == SQLITE_OK) {
            CLEANUP_FREE char *set =
                x_asprintf("PRAGMA user_version=%d; PRAGMA application_id=%d",
                           (int) version + 1, SCHEMA_APPLICATION_ID);
            rc = sql_exec(s, set);
        }
    }
    return rc == SQLITE_OK ? 0 : sql_err(s, rc, "Setting up", e);
}

int schema_migrate(struct sql *s, struct err *e)
{
    bool empty = false;

    if (schema_check(s, &empty, e))
        return -ERR_STORE;
    if (!empty && sql_int(s, "PRAGMA user_version", 0) == SCHEMA_VERSION)
        return 0;
    int rc = sql_begin(s, 10000);
    if (rc != SQLITE_OK)
        return sql_err(s, rc, "Setting up", e);
    if (migrate_locked(s, e)) {
        sql_rollback(s);
        return -ERR_STORE;
    }
    rc = sql_commit(s);
    return rc == SQLITE_OK ? 0 : sql_err(s, rc, "Setting up", e);
}
