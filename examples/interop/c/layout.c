/* What a C compiler makes of the structure whose layout differs between releases. */
#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include <string.h>

size_t layout_size(void);
int layout_set(struct fuse_file_info *fi, const char *bit);
int layout_get(const struct fuse_file_info *fi, const char *bit);
unsigned int layout_header(void);

size_t layout_size(void)
{
	return sizeof(struct fuse_file_info);
}

/* Major and minor, as FUSE_VERSION. */
unsigned int layout_header(void)
{
	return FUSE_VERSION;
}

/* Both return -1 for a name that is no bit. */
#define BITS(IS) \
	IS(writepage) \
	IS(direct_io) \
	IS(keep_cache) \
	IS(flush) \
	IS(nonseekable) \
	IS(flock_release) \
	IS(cache_readdir)

#define SET(name) \
	if (strcmp(bit, #name) == 0) { \
		fi->name = 1; \
		return 0; \
	}

#define GET(name) \
	if (strcmp(bit, #name) == 0) \
		return fi->name;

int layout_set(struct fuse_file_info *fi, const char *bit)
{
	BITS(SET)
	return -1;
}

int layout_get(const struct fuse_file_info *fi, const char *bit)
{
	BITS(GET)
	return -1;
}
