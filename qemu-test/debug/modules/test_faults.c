// SPDX-License-Identifier: GPL-2.0
/*
 * What the tests want of a kernel and LKDTM does not offer: faults, and a device for a platform driver. The word that is
 * written to /proc/test_faults chooses; the name of a driver asks for the latter.
 */
#include <linux/console.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/platform_device.h>
#include <linux/proc_fs.h>
#include <linux/property.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static struct proc_dir_entry *entry;
static struct platform_device *device;

static int hold_console(void *unused)
{
	console_lock();
	/* For good: the test ends in a reboot. */
	for (;;)
		msleep(1000);
	return 0;
}

/* LKDTM's CORRUPT_STACK writes to what it never reads, and clang leaves that out. */
static noinline void smash_stack(void)
{
	char data[8];
	volatile char *at = data;
	int i;

	OPTIMIZER_HIDE_VAR(at);
	for (i = 0; i < 64; i++)
		at[i] = 0xff;
}

/* As a node of the device tree would describe it: half of the reserved region of the tests. */
static struct platform_device *add_device(const char *driver)
{
	static const struct resource region = DEFINE_RES_MEM(0x8000000, 0x80000);
	static const struct property_entry properties[] = {
		PROPERTY_ENTRY_STRING("label", "described"),
		PROPERTY_ENTRY_BOOL("no-map"),
		{ }
	};
	const struct platform_device_info info = {
		.name = driver,
		.id = PLATFORM_DEVID_NONE,
		.res = &region,
		.num_res = 1,
		.properties = properties,
	};

	return platform_device_register_full(&info);
}

static ssize_t test_faults_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	char word[16] = {};

	if (count >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, from, count))
		return -EFAULT;
	strim(word);

	if (!strcmp(word, "double-fault")) {
		/* No stack: the page fault cannot be delivered. */
		asm volatile("xorl %%esp, %%esp\n\tpushq $0" ::: "memory");
	} else if (!strcmp(word, "smash-stack")) {
		smash_stack();
	} else if (!strcmp(word, "taint")) {
		add_taint(TAINT_AUX, LOCKDEP_STILL_OK);
	} else if (!strcmp(word, "hold-console")) {
		struct task_struct *task = kthread_run(hold_console, NULL, "hold_console");

		if (IS_ERR(task))
			return PTR_ERR(task);
		while (console_trylock()) {
			console_unlock();
			msleep(10);
		}
	} else if (!strcmp(word, "rust_phram") || !strcmp(word, "phram")) {
		if (device)
			return -EBUSY;
		device = add_device(word);
		if (IS_ERR(device)) {
			int error = PTR_ERR(device);

			device = NULL;
			return error;
		}
	} else {
		return -EINVAL;
	}
	return count;
}

static const struct proc_ops test_faults_ops = {
	.proc_write = test_faults_write,
};

static int __init test_faults_init(void)
{
	entry = proc_create("test_faults", 0200, NULL, &test_faults_ops);
	return entry ? 0 : -ENOMEM;
}

static void __exit test_faults_exit(void)
{
	proc_remove(entry);
	platform_device_unregister(device);
}

module_init(test_faults_init);
module_exit(test_faults_exit);
MODULE_DESCRIPTION("Faults and devices on demand");
MODULE_LICENSE("GPL");
