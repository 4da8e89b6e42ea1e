/* What a machine without cameras lacks for libcamera's virtual pipeline, preloaded into a test.
 *
 * The pipeline wants two things of the system: dma-bufs from /dev/udmabuf, for which the memfd itself stands in here,
 * and its list of cameras under /usr/share, which is read from the file that ROOMCAM_VIRTUAL_CAMERAS names instead.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static const char *instead_of(const char *path)
{
	static const char list[] = "/pipeline/virtual/virtual.yaml";
	const char *cameras = getenv("ROOMCAM_VIRTUAL_CAMERAS");
	size_t length = path ? strlen(path) : 0;

	if (path && !strcmp(path, "/dev/udmabuf"))
		return "/dev/null";
	if (cameras && length > strlen(list) && !strcmp(path + length - strlen(list), list))
		return cameras;
	return path;
}

#define OPEN(name)                                                           \
	int name(const char *path, int flags, ...)                           \
	{                                                                    \
		int (*original)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
		va_list arguments;                                           \
		va_start(arguments, flags);                                  \
		mode_t mode = va_arg(arguments, mode_t);                     \
		va_end(arguments);                                           \
		return original(instead_of(path), flags, mode);              \
	}
OPEN(open)
OPEN(open64)

#define STAT(name, type)                                                     \
	int name(const char *path, struct type *data)                        \
	{                                                                    \
		int (*original)(const char *, struct type *) = dlsym(RTLD_NEXT, #name); \
		return original(instead_of(path), data);                     \
	}
STAT(stat, stat)
STAT(stat64, stat64)

int ioctl(int fd, unsigned long request, ...)
{
	int (*original)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);

	if (request == UDMABUF_CREATE)
		return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
	return original(fd, request, argument);
}
