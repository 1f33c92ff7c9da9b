// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the kernel oops on demand, and go on: the writer of a word to /proc/test_oops is the only victim.
 * (sysrq-c is no use for this: it panics.)
 */
#include <linux/bug.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static struct proc_dir_entry *entry;
static int *volatile nowhere;

static ssize_t test_oops_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	char word[16] = {};

	if (count >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, from, count))
		return -EFAULT;
	strim(word);

	if (!strcmp(word, "oops"))
		*nowhere = 1;
	else if (!strcmp(word, "bug"))
		BUG();
	else if (!strcmp(word, "warn"))
		WARN(1, "test_oops: a warning, as asked\n");
	else
		return -EINVAL;
	return count;
}

static const struct proc_ops test_oops_ops = {
	.proc_write = test_oops_write,
};

static int __init test_oops_init(void)
{
	entry = proc_create("test_oops", 0200, NULL, &test_oops_ops);
	return entry ? 0 : -ENOMEM;
}

static void __exit test_oops_exit(void)
{
	proc_remove(entry);
}

module_init(test_oops_init);
module_exit(test_oops_exit);
MODULE_DESCRIPTION("Oopses on demand");
MODULE_LICENSE("GPL");
