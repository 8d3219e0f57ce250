/*
 * gnbd_kpi.c - geom_nbd.so's source and geom_nbd.ko's in one process.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *	gnbd_kpi COMMAND...
 *
 * Each argument is one command line of gnbd(8), or "list NAME", "io NAME", "open NAME",
 * "sh COMMAND", "await FIELD VALUE" of the device, "told TYPE" to wait for an event of
 * devctl(4), "tls RECORDS" to play ktls(4) with sessions that have protected so many,
 * "load NAME" for I/O until it is ended, "fails" and a command line that is to,
 * "background" and a command line, "foreground" to end that.
 * Ends at the first that fails, with status 1, else unloads the module, which must
 * leave nothing behind.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <sys/thr.h>

#include "connect.h"
#include "core/geom.h"
#include "glue.h"
#include "misc/subr.h"

extern struct g_command class_commands[];
extern uint32_t version;

/* ---- libgeom ------------------------------------------------------------- */

int
thr_self(long *tid)
{
	*tid = glue_tid();
	return 0;
}

/* KPI_OSRELDATE plays another kernel. */
int
getosreldate(void)
{
	const char *s = getenv("KPI_OSRELDATE");

	return s != NULL ? atoi(s) : 1400063;
}

/* Of kern.geom.nbd.wishes only. */
int
sysctlbyname(const char *name, void *to, size_t *len, const void *from, size_t size)
{
	uint64_t n = glue_wishes();

	(void)name, (void)from, (void)size;
	memcpy(to, &n, *len);
	return 0;
}

struct gctl_req *
gctl_get_handle(void)
{
	return calloc(1, sizeof(struct gctl_req));
}

void
gctl_free(struct gctl_req *req)
{
	free(req);
}

static struct gctl_arg *
find(struct gctl_req *req, const char *name)
{
	for (int i = 0; i < req->narg; i++)
		if (strcmp(req->arg[i].name, name) == 0)
			return &req->arg[i];
	return NULL;
}

void
gctl_ro_param(struct gctl_req *req, const char *name, int len, const void *value)
{
	if (find(req, name) != NULL) {
		fprintf(stderr, "parameter %s is there twice\n", name);
		abort();
	}
	req->arg[req->narg++] = (struct gctl_arg){ name, value, NULL,
	    len >= 0 ? len : (int)strlen(value) + 1 };
}

void
gctl_rw_param(struct gctl_req *req, const char *name, int len, void *value)
{
	gctl_ro_param(req, name, len, value);
	req->arg[req->narg - 1].out = value;
}

int
gctl_change_param(struct gctl_req *req, const char *name, int len, const void *value)
{
	struct gctl_arg *a = find(req, name);

	if (a == NULL)
		return ENOENT;
	a->value = value;
	a->len = len >= 0 ? len : (int)strlen(value) + 1;
	return 0;
}

int
gctl_has_param(struct gctl_req *req, const char *name)
{
	return req->error == NULL && find(req, name) != NULL;
}

static const void *
get(struct gctl_req *req, const char *fmt, va_list ap)
{
	char name[64];
	struct gctl_arg *a;

	vsnprintf(name, sizeof(name), fmt, ap);
	a = find(req, name);
	if (a == NULL) {
		fprintf(stderr, "no parameter %s\n", name);
		abort();
	}
	return a->value;
}

int
gctl_get_int(struct gctl_req *req, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = *(const int *)get(req, fmt, ap);
	va_end(ap);
	return n;
}

intmax_t
gctl_get_intmax(struct gctl_req *req, const char *fmt, ...)
{
	va_list ap;
	intmax_t n;

	va_start(ap, fmt);
	n = *(const intmax_t *)get(req, fmt, ap);
	va_end(ap);
	return n;
}

const char *
gctl_get_ascii(struct gctl_req *req, const char *fmt, ...)
{
	va_list ap;
	const char *s;

	va_start(ap, fmt);
	s = get(req, fmt, ap);
	va_end(ap);
	return s;
}

void
gctl_error(struct gctl_req *req, const char *fmt, ...)
{
	va_list ap;

	if (req->error != NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(req->text, sizeof(req->text), fmt, ap);
	va_end(ap);
	req->error = req->text;
}

/* ---- TLS, played ----------------------------------------------------------- */

static bool plays_tls;

bool __real_nbc_open(struct nbc_conn *, const struct nbc_target *,
    const struct nbc_tls_context *, const struct nbc_options *, struct nbc_error *);
bool __wrap_nbc_open(struct nbc_conn *, const struct nbc_target *,
    const struct nbc_tls_context *, const struct nbc_options *, struct nbc_error *);
void __real_nbc_close(struct nbc_conn *, bool polite);
void __wrap_nbc_close(struct nbc_conn *, bool polite);

/* In clear, and said to be the kernel's TLS. */
bool
__wrap_nbc_open(struct nbc_conn *c, const struct nbc_target *target,
    const struct nbc_tls_context *tls, const struct nbc_options *options,
    struct nbc_error *err)
{
	struct nbc_target clear = *target;

	if (!plays_tls)
		return __real_nbc_open(c, target, tls, options, err);
	clear.tls = NBE_TLS_OFF;
	c->ktls = false;
	if (!__real_nbc_open(c, &clear, NULL, options, err))
		return false;
	c->ktls = true;
	return true;
}

/* No alert in the middle of what the module sends. */
void
__wrap_nbc_close(struct nbc_conn *c, bool polite)
{
	if (plays_tls)
		c->ktls = false;
	__real_nbc_close(c, polite);
}

static bool
play_tls(const char *records)
{
	plays_tls = true;
	glue_tls_records(strtoull(records, NULL, 10));
	return true;
}

/* ---- the kernel ------------------------------------------------------------ */

/* The sockets' descriptors are given to the kernel that is played. */
static int
install(const struct gctl_arg *a, int *kfd)
{
	int n = a->len / (int)sizeof(int);

	for (int i = 0; i < n; i++)
		kfd[i] = glue_install(dup(((const int *)a->value)[i]),
		    plays_tls);
	return n;
}

const char *
gctl_issue(struct gctl_req *req)
{
	static __thread char error[2400];
	char provider[64] = "";
	int kfd[64], n = 0;
	void *k = glue_req(find(req, "verb")->value);

	for (int i = 0; i < req->narg; i++) {
		const struct gctl_arg *a = &req->arg[i];

		if (strcmp(a->name, "sockets") == 0) {
			n = install(a, kfd);
			glue_add(k, "sockets", kfd, n * (int)sizeof(int));
		} else {
			glue_add(k, a->name, a->value, a->len);
		}
	}
	glue_run(k, error, sizeof(error), provider, sizeof(provider));
	while (n-- > 0)
		glue_close(kfd[n]);
	if (find(req, "provider") != NULL)
		memcpy(find(req, "provider")->out, provider, sizeof(provider));
	return error[0] == '\0' ? NULL : error;
}

/* One element of a confxml: its name and its text, in place. */
static char *
element(char *at, struct gconfig *c)
{
	char *to, *end;

	c->lg_name = at + 1;
	at = strchr(at, '>');
	*at++ = '\0';
	end = strchr(at, '<');
	*end = '\0';
	c->lg_val = to = at;
	while (*at != '\0') {
		if (strncmp(at, "&#x", 3) != 0) {
			*to++ = *at++;
			continue;
		}
		*to++ = (char)strtol(at + 3, &at, 16);
		at++;				/* the semicolon */
	}
	*to = '\0';
	return strchr(end + 1, '\n') + 1;
}

/* One class, and one device at most. */
struct tree {
	struct gconfig	config[256];
	struct gclass	class;
	struct ggeom	geom;
	char		name[8], class_name[8];
	char		xml[32768];
};

int
geom_gettree(struct gmesh *mesh)
{
	struct tree *t = calloc(1, sizeof(*t));
	char *at = t->xml;

	memcpy(t->name, "nbd0", 5);
	memcpy(t->class_name, "NBD", 4);
	t->geom.lg_name = t->name;
	t->class.lg_name = t->class_name;
	glue_confxml(t->xml, sizeof(t->xml));
	mesh->memory = t;
	LIST_INIT(&mesh->lg_class);
	LIST_INSERT_HEAD(&mesh->lg_class, &t->class, lg_class);
	if (t->xml[0] != '\0')
		LIST_INSERT_HEAD(&t->class.lg_geom, &t->geom, lg_geom);
	for (int i = 0; *at != '\0'; i++) {
		at = element(at, &t->config[i]);
		LIST_INSERT_HEAD(&t->geom.lg_config, &t->config[i], lg_config);
	}
	return 0;
}

void
geom_deletetree(struct gmesh *mesh)
{
	free(mesh->memory);
}

/* ---- geom(8) ------------------------------------------------------------- */

static void
add_option(struct gctl_req *req, const struct g_option *o, const char *text)
{
	static intmax_t numbers[16];
	static int one = 1, zero, used;

	if (o->go_type == G_TYPE_STRING) {
		gctl_ro_param(req, o->go_name, -1, text);
	} else if (o->go_type == G_TYPE_BOOL) {
		gctl_ro_param(req, o->go_name, sizeof(int),
		    text != NULL ? &one : &zero);
	} else {
		numbers[used % 16] = strtoll(text, NULL, 10);
		gctl_ro_param(req, o->go_name, sizeof(intmax_t), &numbers[used++ % 16]);
	}
}

/* The options of the command line, then what has a default.  False: usage. */
static bool
parse_options(struct gctl_req *req, const struct g_command *cmd, int argc, char **argv)
{
	char opts[64] = "+";
	const struct g_option *o;
	int c;

	for (o = cmd->gc_options; o->go_char != '\0'; o++)
		snprintf(opts + strlen(opts), sizeof(opts) - strlen(opts), "%c%s",
		    o->go_char, o->go_type == G_TYPE_BOOL ? "" : ":");
	optind = 0;
	while ((c = getopt(argc, argv, opts)) != -1) {
		for (o = cmd->gc_options; o->go_char != '\0' && o->go_char != c; o++)
			;
		if (o->go_char == '\0')
			return false;
		add_option(req, o, o->go_type == G_TYPE_BOOL ? "" : optarg);
	}
	for (o = cmd->gc_options; o->go_char != '\0'; o++) {
		if (find(req, o->go_name) != NULL || o->go_val == G_VAL_OPTIONAL)
			continue;
		if (o->go_val == NULL && o->go_type != G_TYPE_BOOL)
			return false;
		add_option(req, o, o->go_val);
	}
	return true;
}

static bool
run_command(const struct g_command *cmd, int argc, char **argv)
{
	static const char *const names[] = { "arg0", "arg1", "arg2", "arg3", "arg4",
		"arg5", "arg6", "arg7", "arg8" };
	struct gctl_req req = { .narg = 0 };
	const char *error;
	int nargs;

	gctl_ro_param(&req, "verb", -1, argv[0]);
	gctl_ro_param(&req, "version", sizeof(version), &version);
	if (!parse_options(&req, cmd, argc, argv)) {
		fprintf(stderr, "usage: gnbd %s %s\n", cmd->gc_name, cmd->gc_usage);
		return false;
	}
	nargs = argc - optind;
	gctl_ro_param(&req, "nargs", sizeof(nargs), &nargs);
	for (int i = 0; i < nargs && i < 9; i++)
		gctl_ro_param(&req, names[i], -1, argv[optind + i]);
	if (cmd->gc_func != NULL)
		cmd->gc_func(&req, 0);
	error = cmd->gc_func != NULL ? req.error : gctl_issue(&req);
	if (error != NULL)
		fprintf(stderr, "gnbd: %s\n", error);
	return error == NULL;
}

static void
print_config(const struct ggeom *gp)
{
	struct gconfig *c;

	printf("Geom name: %s\n", gp->lg_name);
	LIST_FOREACH(c, &gp->lg_config, lg_config)
		printf("%s: %s\n", c->lg_name, c->lg_val[0] != '\0' ? c->lg_val :
		    "(null)");
}

static bool
list(void)
{
	struct gmesh mesh;
	struct ggeom *gp;

	geom_gettree(&mesh);
	gp = LIST_FIRST(&LIST_FIRST(&mesh.lg_class)->lg_geom);
	if (gp != NULL)
		print_config(gp);
	geom_deletetree(&mesh);
	return gp != NULL;
}

static bool
field_is(const char *field, const char *value)
{
	struct gmesh mesh;
	struct ggeom *gp;
	struct gconfig *c;
	bool is = false;

	geom_gettree(&mesh);
	LIST_FOREACH(gp, &LIST_FIRST(&mesh.lg_class)->lg_geom, lg_geom)
		LIST_FOREACH(c, &gp->lg_config, lg_config)
			is |= strcmp(c->lg_name, field) == 0 &&
			    strcmp(c->lg_val, value) == 0;
	geom_deletetree(&mesh);
	return is;
}

/* For a minute: alarm(2) ends what never comes. */
static bool
await(const char *field, const char *value)
{
	while (!field_is(field, value))
		usleep(20000);
	return true;
}

static bool
told(const char *type)
{
	while (glue_told(type) == 0)
		usleep(20000);
	return true;
}

static volatile sig_atomic_t ended;

static void
on_signal(int sig)
{
	(void)sig;
	ended = 1;
}

static bool
load(const char *name)
{
	bool good = true;

	while (good && !ended)
		good = glue_io(name, 8192, 'x');
	return good;
}

static bool run_line(char *);

static bool background_good;

static void *
background_main(void *line)
{
	background_good = run_line(line);
	return NULL;
}

static pthread_t background_thread;

static bool
background(char *line)
{
	return pthread_create(&background_thread, NULL, background_main, line) == 0;
}

/* watch and load end by a signal, others by themselves. */
static bool
foreground(void)
{
	return raise(SIGTERM) == 0 && pthread_join(background_thread, NULL) == 0 &&
	    background_good;
}

static bool
run_line(char *line)
{
	char *argv[16], *rest;
	int argc = 0;

	if (strncmp(line, "sh ", 3) == 0)
		return system(line + 3) == 0;
	if (strncmp(line, "background ", 11) == 0)
		return background(line + 11);
	if (strncmp(line, "fails ", 6) == 0)
		return !run_line(line + 6);
	for (char *s = strtok_r(line, " ", &rest); s != NULL && argc < 15;
	    s = strtok_r(NULL, " ", &rest))
		argv[argc++] = s;
	argv[argc] = NULL;
	if (strcmp(argv[0], "list") == 0)
		return list();
	if (strcmp(argv[0], "foreground") == 0)
		return foreground();
	if (strcmp(argv[0], "await") == 0)
		return await(argv[1], argv[2]);
	if (strcmp(argv[0], "told") == 0)
		return told(argv[1]);
	if (strcmp(argv[0], "tls") == 0)
		return play_tls(argv[1]);
	if (strcmp(argv[0], "io") == 0)
		return glue_io(argv[1], 8192, 'x');
	if (strcmp(argv[0], "load") == 0)
		return load(argv[1]);
	if (strcmp(argv[0], "open") == 0)
		return glue_open(argv[1]);
	for (const struct g_command *c = class_commands; c->gc_name != NULL; c++)
		if (strcmp(c->gc_name, argv[0]) == 0)
			return run_command(c, argc, argv);
	return false;
}

int
main(int argc, char **argv)
{
	bool good = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(60);
	(void)signal(SIGTERM, on_signal);
	glue_load();
	for (int i = 1; i < argc && good; i++)
		good = run_line(argv[i]);
	return glue_unload() != 0 || !good;
}
