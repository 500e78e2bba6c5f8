/* SPDX-License-Identifier: Apache-2.0 */
/* The table of ssh_config's keywords, and the handlers of those that are honoured. */
#include "ssh_keywords.h"

#include "ssh_conf.h"
#include "ssh_lists.h"

#include "muster/base/alloc.h"
#include "muster/exec/engine.h"

#include <limits.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define MEMBER(c, k, type) ((type *) (void *) ((char *) (c) + (k)->member))

static bool none(const char *v)
{
    return !*v || strcasecmp(v, "none") == 0;
}

static bool yes(const char *v)
{
    return strcasecmp(v, "yes") == 0 || strcasecmp(v, "true") == 0;
}

static bool no(const char *v)
{
    return strcasecmp(v, "no") == 0 || strcasecmp(v, "false") == 0 || strcasecmp(v, "off") == 0;
}

static void refuse(struct ssh_conf *c, const char *name, const char *value, const char *instead)
{
    if (c->unsupported)
        return;
    c->unsupported = x_asprintf("%s %s", name, value);
    c->instead = instead;
}

static void text(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    char **at = MEMBER(c, k, char *);

    free(*at);
    *at = x_strdup(v);
}

static void text_or_none(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    char **at = MEMBER(c, k, char *);

    free(*at);
    *at = none(v) ? NULL : x_strdup(v);
}

static void flag(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    *MEMBER(c, k, bool) = yes(v);
}

/* One value a line. */
static void line(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    if (!none(v))
        strv_push(MEMBER(c, k, struct strv), v);
}

static void more_words(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    CLEANUP_FREE char *copy = x_strdup(v);
    char *save = NULL;

    for (char *t = strtok_r(copy, " \t\"", &save); t; t = strtok_r(NULL, " \t\"", &save))
        if (!none(t))
            strv_push(MEMBER(c, k, struct strv), t);
}

/* Paths, of which each may stand in quotes. */
static void paths(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    CLEANUP_STRV struct strv words = STRV_INIT;

    strv_clear(MEMBER(c, k, struct strv));
    conf_words(v, &words);
    for (size_t i = 0; i < words.n; i++)
        if (!none(words.v[i]))
            strv_push(MEMBER(c, k, struct strv), words.v[i]);
}

static void port(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    c->port = (int) strtol(v, NULL, 10);
}

static void family(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    c->family = strcasecmp(v, "inet") == 0    ? AF_INET
                : strcasecmp(v, "inet6") == 0 ? AF_INET6
                                              : AF_UNSPEC;
}

/* "15", "2m", "1h30m": as ssh's TIME FORMATS. -1 when it is none. */
static int64_t parse_seconds(const char *v)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    int64_t total = 0;

    while (*v) {
        char *end;
        long n = strtol(v, &end, 10);
        int64_t unit = *end ? 0 : 1;

        if (end == v || n < 0 || n > INT_MAX)
            return -1;
        for (size_t i = 0; *end && i < ARRAY_LEN(units); i++)
            if ((*end | 32) == units[i].unit)
                unit = units[i].seconds;
        if (!unit)
            return -1;
        total += n * unit;
        v = end + (*end != '\0');
    }
    return total;
}

static void connect_timeout(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    int64_t s = parse_seconds(v);

    c->connect_timeout_ms = s > 0 ? s * 1000 : -1;
}

static void alive_interval(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    int64_t s = parse_seconds(v);

    c->alive_interval = s > 0 && s < INT_MAX ? (int) s : 0;
}

static void alive_count(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    long n = strtol(v, NULL, 10);

    c->alive_count = n > 0 && n < INT_MAX ? (int) n : 3;
}

static void strict(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    c->strict = strcasecmp(v, "accept-new") == 0 || no(v) ? STRICT_ACCEPT_NEW : STRICT_YES;
    if (no(v))
        strv_push(&c->warnings, STRICT_OFF_TEXT);
}

/* A switch that is on unless it says no. */
static void switched_off(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    *MEMBER(c, k, bool) = no(v);
}

/* The first of the two that is given counts, as for ssh; `ssh -G` prints only that one. */
static void proxy(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    if (!c->proxy_jump && !c->proxy_command)
        text_or_none(c, k, v);
}

static void request_tty(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    c->request_tty = yes(v) || strcasecmp(v, "force") == 0;
}

static void number(struct ssh_conf *c, const struct conf_keyword *k, const char *v)
{
    long n = strtol(v, NULL, 10);

    *MEMBER(c, k, int) = n > 0 && n < INT_MAX ? (int) n : 0;
}

static bool good_port(const char *v)
{
    size_t n = strspn(v, "0123456789");

    return n && n <= 5 && !v[n] && strtol(v, NULL, 10) > 0 && strtol(v, NULL, 10) < 65536;
}

static bool good_count(const char *v)
{
    size_t n = strspn(v, "0123456789");

    return n && n < 10 && !v[n];
}

static bool good_time(const char *v)
{
    return *v && parse_seconds(v) >= 0;
}

static bool good_timeout(const char *v)
{
    return strcasecmp(v, "none") == 0 || good_time(v);
}

static bool good_strict(const char *v)
{
    return yes(v) || no(v) || strcasecmp(v, "ask") == 0 || strcasecmp(v, "accept-new") == 0;
}

static bool good_family(const char *v)
{
    return strcasecmp(v, "any") == 0 || strcasecmp(v, "inet") == 0 || strcasecmp(v, "inet6") == 0;
}

#define A_TIME "a time such as 30, 2m or 1h30m"

/* What ssh itself would refuse to start with. */
static const struct {
    const char *keyword;
    bool (*good)(const char *v);
    const char *wanted;
} checks[] = {
    {"AddressFamily", good_family, "any, inet or inet6"},
    {"ConnectTimeout", good_timeout, A_TIME},
    {"Port", good_port, "a number from 1 to 65535"},
    {"ServerAliveCountMax", good_count, "a number"},
    {"ServerAliveInterval", good_time, A_TIME},
    {"StrictHostKeyChecking", good_strict, "yes, no, ask or accept-new"},
};

const char *conf_wanted(const char *keyword, const char *value)
{
    for (size_t i = 0; i < ARRAY_LEN(checks); i++)
        if (strcasecmp(keyword, checks[i].keyword) == 0)
            return checks[i].good(value) ? NULL : checks[i].wanted;
    return NULL;
}

#define HONOUR(name, apply, field) \
    {name, CONF_HONOURED, apply, offsetof(struct ssh_conf, field), NULL, NULL}
#define BY_SSH(name) {name, CONF_HONOURED, NULL, 0, NULL, NULL}
#define OPENSSH(name, fine, instead) {name, CONF_OPENSSH, NULL, 0, fine, instead}
#define REFUSE(name, fine, instead) {name, CONF_REFUSED, NULL, 0, fine, instead}
#define LEFT_OUT(name, fine, why) {name, CONF_LEFT_OUT, NULL, 0, fine, why}
#define HARMLESS(name, why) {name, CONF_HARMLESS, NULL, 0, NULL, why}

#define OFF "no,false"
#define ONCE "a password is asked for once, before anything runs"
#define NO_CERTIFICATES "certificates go to ssh itself, which reads it"
#define NO_FORWARDING "nothing is forwarded"
#define NO_TERMINAL "there is no terminal on either side"
#define NO_SHARING "muster makes a connection of its own to the same host"
#define NO_KERBEROS "what needs it goes to ssh itself, which reads it"
#define STRICTER "host keys are checked all the same"
#define TALK "what ssh itself says and logs"
#define SPEED "speed only"

static const struct conf_keyword keywords[] = {
    LEFT_OUT("AddKeysToAgent", OFF, "a key that muster has decrypted stays with muster"),
    HONOUR("AddressFamily", family, family),
    LEFT_OUT("AFSTokenPassing", OFF, "no token is passed on"),
    HONOUR("BatchMode", flag, batch_mode),
    HONOUR("BindAddress", text, bind_address),
    OPENSSH("BindInterface", "none", NULL),
    BY_SSH("CanonicalDomains"),
    BY_SSH("CanonicalizeFallbackLocal"),
    BY_SSH("CanonicalizeHostname"),
    BY_SSH("CanonicalizeMaxDots"),
    BY_SSH("CanonicalizePermittedCNAMEs"),
    HARMLESS("CASignatureAlgorithms", NO_CERTIFICATES),
    OPENSSH("CertificateFile", "none", NULL),
    HONOUR("ChallengeResponseAuthentication", switched_off, no_kbdint),
    LEFT_OUT("ChannelTimeout", "none,0", "muster has timeouts of its own"),
    LEFT_OUT("CheckHostIP", OFF, "the host key is looked for by the host's name only"),
    HONOUR("Ciphers", text, ciphers),
    HARMLESS("ClearAllForwardings", NO_FORWARDING),
    HARMLESS("Compression", SPEED),
    HARMLESS("CompressionLevel", SPEED),
    LEFT_OUT("ConnectionAttempts", "1", "--retries says how often muster tries"),
    HONOUR("ConnectTimeout", connect_timeout, connect_timeout_ms),
    HARMLESS("ControlMaster", NO_SHARING),
    HONOUR("ControlPath", text_or_none, control_path),
    HARMLESS("ControlPersist", NO_SHARING),
    LEFT_OUT("DynamicForward", "none", NO_FORWARDING),
    HARMLESS("EnableEscapeCommandline", NO_TERMINAL),
    HARMLESS("EnableSSHKeysign", NO_KERBEROS),
    HARMLESS("EscapeChar", NO_TERMINAL),
    HARMLESS("ExitOnForwardFailure", NO_FORWARDING),
    HARMLESS("FingerprintHash", TALK),
    HARMLESS("ForkAfterAuthentication", NO_TERMINAL),
    OPENSSH("ForwardAgent", OFF, "ForwardAgent=no"),
    LEFT_OUT("ForwardX11", OFF, "the command has no display"),
    HARMLESS("ForwardX11Timeout", NO_FORWARDING),
    HARMLESS("ForwardX11Trusted", NO_FORWARDING),
    HARMLESS("GatewayPorts", NO_FORWARDING),
    HONOUR("GlobalKnownHostsFile", paths, global_hosts),
    HONOUR("GSSAPIAuthentication", flag, gssapi),
    HARMLESS("GSSAPIClientIdentity", NO_KERBEROS),
    OPENSSH("GSSAPIDelegateCredentials", OFF, "GSSAPIDelegateCredentials=no"),
    HARMLESS("GSSAPIKexAlgorithms", NO_KERBEROS),
    HARMLESS("GSSAPIKeyExchange", NO_KERBEROS),
    HARMLESS("GSSAPIRenewalForcesRekey", NO_KERBEROS),
    HARMLESS("GSSAPIServerIdentity", NO_KERBEROS),
    HARMLESS("GSSAPITrustDns", NO_KERBEROS),
    HONOUR("HashKnownHosts", flag, hash_hosts),
    BY_SSH("Host"),
    HARMLESS("HostbasedAcceptedAlgorithms", NO_KERBEROS),
    HONOUR("HostbasedAuthentication", flag, hostbased),
    HARMLESS("HostbasedKeyTypes", NO_KERBEROS),
    HONOUR("HostKeyAlgorithms", text, host_key_algs),
    HONOUR("HostKeyAlias", text, host_key_alias),
    HONOUR("HostName", text, hostname),
    HONOUR("IdentitiesOnly", flag, identities_only),
    HONOUR("IdentityAgent", text, identity_agent),
    HONOUR("IdentityFile", line, identity_files),
    BY_SSH("IgnoreUnknown"),
    BY_SSH("Include"),
    HARMLESS("IPQoS", SPEED),
    HONOUR("KbdInteractiveAuthentication", switched_off, no_kbdint),
    HARMLESS("KbdInteractiveDevices", ONCE),
    HONOUR("KexAlgorithms", text, kex),
    OPENSSH("KnownHostsCommand", "none", "KnownHostsCommand=none"),
    HARMLESS("LocalCommand", "only PermitLocalCommand has it run"),
    LEFT_OUT("LocalForward", "none", NO_FORWARDING),
    HARMLESS("LogLevel", TALK),
    HARMLESS("LogVerbose", TALK),
    HONOUR("MACs", text, macs),
    BY_SSH("Match"),
    HARMLESS("NoHostAuthenticationForLocalhost", STRICTER),
    HARMLESS("NumberOfPasswordPrompts", ONCE),
    HARMLESS("ObscureKeystrokeTiming", NO_TERMINAL),
    HONOUR("PasswordAuthentication", switched_off, no_password),
    LEFT_OUT("PermitLocalCommand", OFF, "LocalCommand is not run"),
    HARMLESS("PermitRemoteOpen", NO_FORWARDING),
    OPENSSH("PKCS11Provider", "none", "PKCS11Provider=none"),
    HONOUR("Port", port, port),
    HONOUR("PreferredAuthentications", text, preferred),
    HONOUR("ProxyCommand", proxy, proxy_command),
    HONOUR("ProxyJump", proxy, proxy_jump),
    OPENSSH("ProxyUseFdpass", OFF, "ProxyUseFdpass=no"),
    HONOUR("PubkeyAcceptedAlgorithms", text, key_algs),
    HONOUR("PubkeyAcceptedKeyTypes", text, key_algs),
    HONOUR("PubkeyAuthentication", switched_off, no_pubkey),
    REFUSE("RefuseConnection", "none", NULL),
    LEFT_OUT("RekeyLimit", "0 0,default none,default 0", "the server's own limit decides"),
    REFUSE("RemoteCommand", "none", "RemoteCommand=none"),
    LEFT_OUT("RemoteForward", "none", NO_FORWARDING),
    HONOUR("RequestTTY", request_tty, request_tty),
    HONOUR("RequiredRSASize", number, required_rsa),
    HONOUR("RevokedHostKeys", text_or_none, revoked_keys),
    HARMLESS("SecurityKeyProvider", "FIDO keys go to ssh itself, which reads it"),
    HONOUR("SendEnv", more_words, send_env),
    HONOUR("ServerAliveCountMax", alive_count, alive_count),
    HONOUR("ServerAliveInterval", alive_interval, alive_interval),
    REFUSE("SessionType", "default", "SessionType=default"),
    HONOUR("SetEnv", line, set_env),
    HARMLESS("StdinNull", "the command's input is what --stdin says, or empty"),
    HARMLESS("StreamLocalBindMask", NO_FORWARDING),
    HARMLESS("StreamLocalBindUnlink", NO_FORWARDING),
    HONOUR("StrictHostKeyChecking", strict, strict),
    HARMLESS("SyslogFacility", TALK),
    BY_SSH("Tag"),
    HARMLESS("TCPKeepAlive", "it is always on"),
    LEFT_OUT("Tunnel", OFF, NO_FORWARDING),
    HARMLESS("TunnelDevice", NO_FORWARDING),
    HARMLESS("UpdateHostKeys", "known_hosts is changed by accept-new only"),
    HARMLESS("UsePrivilegedPort", "no server asks for it"),
    HONOUR("User", text, user),
    HONOUR("UserKnownHostsFile", paths, user_hosts),
    OPENSSH("VerifyHostKeyDNS", OFF, "VerifyHostKeyDNS=no"),
    HARMLESS("VersionAddendum", TALK),
    HARMLESS("VisualHostKey", TALK),
    HARMLESS("WarnWeakCrypto", TALK),
    HARMLESS("XAuthLocation", NO_FORWARDING),
};

const struct conf_keyword *conf_keyword_at(size_t i)
{
    return i < ARRAY_LEN(keywords) ? &keywords[i] : NULL;
}

const struct conf_keyword *conf_keyword(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (strcasecmp(name, keywords[i].name) == 0)
            return &keywords[i];
    return NULL;
}

bool conf_fine(const struct conf_keyword *k, const char *value)
{
    size_t len = strlen(value);

    for (const char *p = k->fine; *p;) {
        size_t n = strcspn(p, ",");

        if (n == len && strncasecmp(p, value, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return len == 0;
}

void conf_apply(struct ssh_conf *c, const char *keyword, const char *value)
{
    const struct conf_keyword *k = conf_keyword(keyword);

    if (!k) {
        strv_push_own(&c->warnings,
                      x_asprintf("the keyword %s is not known to muster: ignored", keyword));
        return;
    }
    switch (k->how) {
    case CONF_HONOURED:
        if (k->apply)
            k->apply(c, k, value);
        break;
    case CONF_OPENSSH:
        if (!conf_fine(k, value) && !c->openssh) {
            c->openssh = x_asprintf("%s %s", k->name, value);
            c->openssh_instead = k->note;
        }
        break;
    case CONF_REFUSED:
        if (!conf_fine(k, value))
            refuse(c, k->name, value, k->note);
        break;
    case CONF_LEFT_OUT:
        if (!conf_fine(k, value))
            strv_push_own(&c->warnings, x_asprintf("%s is left out: %s", k->name, k->note));
        break;
    case CONF_HARMLESS:
        break;
    }
}

bool engine_knows_ssh_keyword(const char *name)
{
    return conf_keyword(name) != NULL;
}
