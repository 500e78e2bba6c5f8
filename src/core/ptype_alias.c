/* SPDX-License-Identifier: Apache-2.0 */
/* Types that are others by a name of their own: those of Puppet's that JSON has as text, those of Bolt,
 * and those that the module stdlib documents. */
#include "muster/core/params.h"

#include "muster/base/alloc.h"
#include "ptype.h"

#include <arpa/inet.h>
#include <string.h>

#define V4 PTYPE_V4
#define V6 PTYPE_V6
#define PLAIN PTYPE_PLAIN
#define PREFIX PTYPE_PREFIX

#define WORD "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
#define MODE "[ugoa]*([-+=]([rwxXst]*|[ugo]))+|[-+=][0-7]+"

static const struct ptype_alias rows[] = {
    /* Puppet's own */
    {"SemVer", "Pattern[/\\A\\d+\\.\\d+\\.\\d+(-[0-9A-Za-z.-]+)?(\\+[0-9A-Za-z.-]+)?\\z/]",
     "a version like 1.2.3", 0},
    {"SemVerRange", "String[1]", "a range of versions", 0},
    {"Timestamp",
     "Variant[Numeric, Pattern[/\\A\\d{4}-\\d{2}-\\d{2}([T ]\\d{2}:\\d{2}(:\\d{2}(\\.\\d+)?)?"
     "( ?(Z|UTC|[+-]\\d{2}:?\\d{2}))?)?\\z/]]",
     "a time like 2024-12-31T23:59:59 Z", 0},
    {"Timespan", "Variant[Numeric, Pattern[/\\A-?((\\d+-)?\\d+(:\\d{2}){1,2}(\\.\\d+)?|\\d+(\\.\\d+)?)\\z/]]",
     "seconds, or a span like 1-02:03:04", 0},
    {"URI", "Pattern[/\\A[A-Za-z][A-Za-z0-9+.-]*:[^\\s]*\\z/]", "a URI", 0},
    {"Binary", "Pattern[/\\A[a-zA-Z0-9+\\/\\r\\n]*={0,2}[\\r\\n]*\\z/]", "base64", 0},
    {"Error", "Hash[String, Data]", "an error: a Hash", 0},
    /* Bolt's */
    {"Boltlib::PlanResult", "Any", NULL, 0},
    {"Result", "Hash[String, Data]", "a result: a Hash", 0},
    {"ResultSet", "Array[Hash[String, Data]]", "results: an Array of Hashes", 0},
    /* stdlib's */
    {"Stdlib::Absolutepath", "Variant[Stdlib::Windowspath, Stdlib::Unixpath]", "an absolute path", 0},
    {"Stdlib::Unixpath", "Pattern[/\\A\\/([^\\n\\/]+\\/*)*\\z/]", "an absolute path", 0},
    {"Stdlib::Windowspath",
     "Pattern[/\\A(([a-zA-Z]:[\\\\\\/])|([\\\\\\/][\\\\\\/][^\\\\\\/]+[\\\\\\/][^\\\\\\/]+)).*\\z/]",
     "an absolute path of Windows", 0},
    {"Stdlib::Filesource",
     "Variant[Stdlib::Absolutepath, Stdlib::HTTPUrl, Pattern[/\\A(file|puppet):\\/\\/\\/?[^\\n]+\\z/]]",
     "an absolute path, or a URL of a file", 0},
    {"Stdlib::Filemode", "Pattern[/\\A(([0-7]{1,4})|((" MODE ")(,(" MODE "))*))\\z/]",
     "a mode like 0644 or u=rw,go=r", 0},
    {"Stdlib::HTTPUrl", "Pattern[/(?i:\\Ahttps?:\\/\\/.*\\z)/]", "an http or https URL", 0},
    {"Stdlib::HTTPSUrl", "Pattern[/(?i:\\Ahttps:\\/\\/.*\\z)/]", "an https URL", 0},
    {"Stdlib::Http::Method",
     "Enum[CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE]", NULL, 0},
    {"Stdlib::Http::Status", "Integer[100, 599]", NULL, 0},
    {"Stdlib::HttpStatus", "Integer[100, 599]", NULL, 0},
    {"Stdlib::Httpstatus", "Integer[100, 599]", NULL, 0},
    {"Stdlib::Port", "Integer[0, 65535]", NULL, 0},
    {"Stdlib::Port::Privileged", "Integer[1, 1023]", NULL, 0},
    {"Stdlib::Port::Unprivileged", "Integer[1024, 65535]", NULL, 0},
    {"Stdlib::Port::User", "Integer[1024, 49151]", NULL, 0},
    {"Stdlib::Port::Registered", "Stdlib::Port::User", NULL, 0},
    {"Stdlib::Port::Dynamic", "Integer[49152, 65535]", NULL, 0},
    {"Stdlib::Port::Ephemeral", "Stdlib::Port::Dynamic", NULL, 0},
    {"Stdlib::Fqdn", "Pattern[/\\A(" WORD "\\.)*" WORD "\\z/]", "a host name", 0},
    {"Stdlib::Dns::Zone", "Pattern[/\\A((" WORD "\\.)+|\\.)\\z/]", "a zone like example.com.", 0},
    {"Stdlib::Host", "Variant[Stdlib::Fqdn, Stdlib::IP::Address]", "a host name or an IP address", 0},
    {"Stdlib::IP::Address", NULL, "an IP address", V4 | V6 | PLAIN | PREFIX},
    {"Stdlib::IP::Address::Nosubnet", NULL, "an IP address without a prefix", V4 | V6 | PLAIN},
    {"Stdlib::IP::Address::CIDR", NULL, "an IP address with a prefix", V4 | V6 | PREFIX},
    {"Stdlib::IP::Address::V4", NULL, "an IPv4 address", V4 | PLAIN | PREFIX},
    {"Stdlib::IP::Address::V4::CIDR", NULL, "an IPv4 address with a prefix", V4 | PREFIX},
    {"Stdlib::IP::Address::V4::Nosubnet", NULL, "an IPv4 address without a prefix", V4 | PLAIN},
    {"Stdlib::IP::Address::V6", NULL, "an IPv6 address", V6 | PLAIN | PREFIX},
    {"Stdlib::IP::Address::V6::CIDR", NULL, "an IPv6 address with a prefix", V6 | PREFIX},
    {"Stdlib::IP::Address::V6::Full", NULL, "an IPv6 address", V6 | PLAIN | PREFIX},
    {"Stdlib::IP::Address::V6::Compressed", NULL, "an IPv6 address", V6 | PLAIN | PREFIX},
    {"Stdlib::IP::Address::V6::Nosubnet", NULL, "an IPv6 address without a prefix", V6 | PLAIN},
    {"Stdlib::MAC", "Pattern[/\\A([0-9A-Fa-f]{2}[:-]){5}([0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-])?"
     "([0-9A-Fa-f]{2})\\z/]", "a hardware address", 0},
    {"Stdlib::Email", "Pattern[/\\A[a-zA-Z0-9.!#$%&'*+\\/=?^_`{|}~-]+@(" WORD "\\.)*" WORD "\\z/]",
     "a mail address", 0},
    {"Stdlib::Base32", "Pattern[/\\A(?i:[a-z2-7]+={0,6})\\z/]", "base32", 0},
    {"Stdlib::Base64", "Pattern[/\\A[a-zA-Z0-9\\/+]+={0,2}\\z/]", "base64", 0},
    {"Stdlib::Datasize", "Pattern[/\\A\\d+(?i:[kmgt]b?|b)\\z/]", "a size like 10kB", 0},
    {"Stdlib::Yes_no", "Pattern[/\\A(?i:(yes|no))\\z/]", "yes or no", 0},
    {"Stdlib::Syslogfacility",
     "Enum[kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp, ntp, security,"
     " console, 'solaris-cron', local0, local1, local2, local3, local4, local5, local6, local7]",
     NULL, 0},
    {"Stdlib::ObjectStore", "Variant[Stdlib::ObjectStore::GSUri, Stdlib::ObjectStore::S3Uri]",
     "a URI gs://.. or s3://..", 0},
    {"Stdlib::ObjectStore::GSUri", "Pattern[/\\Ags:\\/\\/.*\\z/]", "a URI gs://..", 0},
    {"Stdlib::ObjectStore::S3Uri", "Pattern[/\\As3:\\/\\/.*\\z/]", "a URI s3://..", 0},
    {"Stdlib::Ensure::Service", "Enum[stopped, running]", NULL, 0},
    {"Stdlib::Ensure::Package",
     "Variant[Enum[present, absent, purged, disabled, installed, latest], String[1]]",
     "present, absent, purged, disabled, installed, latest or a version", 0},
    {"Stdlib::Ensure::File", "Enum[present, file, directory, link, absent]", NULL, 0},
    {"Stdlib::Ensure::File::Directory", "Enum[directory, absent]", NULL, 0},
    {"Stdlib::Ensure::File::File", "Enum[file, absent]", NULL, 0},
    {"Stdlib::Ensure::File::Link", "Enum[link, absent]", NULL, 0},
};

const struct ptype_alias *ptype_alias(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

const char *ptype_alias_at(size_t i)
{
    return i < ARRAY_LEN(rows) ? rows[i].name : NULL;
}

const char *ptype_unknown(const struct ptype *t)
{
    const char *name = t->kind == PT_UNKNOWN ? t->words.v[0] : NULL;

    for (size_t i = 0; !name && i < t->n_args; i++)
        name = ptype_unknown(t->args[i]);
    return name;
}

bool ptype_is_address(unsigned kinds, const char *text)
{
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t) (slash - text) : strlen(text), digits = 0;
    char plain[INET6_ADDRSTRLEN + 1];
    unsigned char bytes[16];
    int prefix = 0, most;

    if (n >= sizeof plain || !(kinds & (slash ? PREFIX : PLAIN)))
        return false;
    memcpy(plain, text, n);
    plain[n] = '\0';
    if ((kinds & V4) && inet_pton(AF_INET, plain, bytes) == 1)
        most = 32;
    else if ((kinds & V6) && inet_pton(AF_INET6, plain, bytes) == 1)
        most = 128;
    else
        return false;
    if (!slash)
        return true;
    for (slash++; slash[digits] >= '0' && slash[digits] <= '9' && digits < 4; digits++)
        prefix = prefix * 10 + (slash[digits] - '0');
    return digits > 0 && digits < 4 && !slash[digits] && prefix <= most;
}
