// SPDX-License-Identifier: GPL-2.0
/*
 * Has the MTD device "held" open from the moment at which it appears, and keeps the next one from being registered. To
 * read /proc/test_mtd reads the beginning of the device; to write to it closes the device.
 */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mtd/mtd.h>
#include <linux/proc_fs.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static struct proc_dir_entry *entry;
static struct mtd_info *held;
static struct device *in_the_way;

static void test_mtd_add(struct mtd_info *mtd)
{
	struct device *device;

	/* insmod tries twice: once is enough. */
	if (in_the_way || strcmp(mtd->name, "held"))
		return;
	device = device_create(mtd->dev.class, NULL, MKDEV(0, 0), NULL, "mtd%d", mtd->index + 1);
	if (IS_ERR(device))
		return;
	in_the_way = device;
	/* As open() does. The lock of the MTD core is held here. */
	if (!__get_mtd_device(mtd))
		held = mtd;
}

static void test_mtd_remove(struct mtd_info *mtd)
{
}

static struct mtd_notifier notifier = {
	.add = test_mtd_add,
	.remove = test_mtd_remove,
};

static ssize_t test_mtd_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	u_char bytes[4];
	size_t length;
	int error;

	if (!held)
		return -ENODEV;
	error = mtd_read(held, 0, sizeof(bytes), &length, bytes);
	return error ?: simple_read_from_buffer(to, count, pos, bytes, length);
}

static ssize_t test_mtd_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	if (held)
		put_mtd_device(held);
	held = NULL;
	return count;
}

static const struct proc_ops test_mtd_ops = {
	.proc_read = test_mtd_read,
	.proc_write = test_mtd_write,
};

static int __init test_mtd_init(void)
{
	entry = proc_create("test_mtd", 0600, NULL, &test_mtd_ops);
	if (!entry)
		return -ENOMEM;
	register_mtd_user(&notifier);
	return 0;
}

static void __exit test_mtd_exit(void)
{
	unregister_mtd_user(&notifier);
	proc_remove(entry);
	if (in_the_way)
		device_unregister(in_the_way);
}

module_init(test_mtd_init);
module_exit(test_mtd_exit);
MODULE_DESCRIPTION("Somebody who opens MTD devices");
MODULE_LICENSE("GPL");
