// SPDX-License-Identifier: GPL-2.0
/*
 * Measures what a kernel message dumper costs, and what the kernel's own iterator costs for the same text (the floor).
 *
 * It must be loaded before the module under test, and no other dumper may be: a dumper that is registered later stands
 * behind ours in the kernel's list, and is called from here as kmsg_dump() would do. No crash is needed, and no message
 * of one changes the log between two runs.
 *
 * To /proc/bench:
 *   fill BYTES SEED    writes so much text to the kernel log: lines of the usual shapes
 *   noise BYTES SEED   the same, of lines that do not compress
 *   dump COUNT         has the dumper run so often
 *   floor BYTES COUNT  has the iterator copy the newest BYTES of the log so often
 * After a dump or floor, /proc/bench reads as "<bytes copied> <nanoseconds, least> <nanoseconds, most>", and after a
 * floor /proc/bench_text as what was copied.
 */
#include <linux/fs.h>
#include <linux/irqflags.h>
#include <linux/kmsg_dump.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

/* What the kernel adds to each line: "<6>[    1.234567] " and the line feed. */
#define PREFIX 19

static const char *const shapes[] = {
	"usb %u-%u: new high-speed USB device number %u using xhci_hcd",
	"pci 0000:%02x:%02x.0: BAR 0 [mem 0x%08x-0x%08x 64bit pref]: assigned",
	"EXT4-fs (nvme%un1p%u): mounted filesystem %08x-93a1-4e5c-8f3b-%08x r/w with ordered data mode. Quota mode: none.",
	"audit: type=1400 audit(1764%02u%02u.%03u:%u): apparmor=\"DENIED\" operation=\"open\" class=\"file\"",
	"igb 0000:%02x:%02x.0 eth%u: igb: eth%u NIC Link is Up 1000 Mbps Full Duplex, Flow Control: RX/TX",
	"ata%u.%02u: cmd 60/08:00:%08x/00:00:%08x/40 tag 0 ncq dma 4096 in",
	"IPv6: ADDRCONF(NETDEV_CHANGE): veth%02x%02x%07x: link becomes ready",
	"nvme nvme%u: I/O tag %u QID %u timeout, completion polled",
	"systemd[1]: Started session-%u.scope - Session %u of User user%u.",
	"CPU: %u PID: %u Comm: kworker/u8:%u Tainted: G           OE      7.3.4 #1",
	" ? __handle_mm_fault+0x%x%x/0x%x",
	"RAX: 00000000000000%02x RBX: ffff88810%02x%05x0 RCX: %016x",
};

static u64 random_state;
static void *buffer;
static size_t buffer_size;
static size_t copied;
static u64 least, most;

static u32 random(u32 limit)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 33) % limit;
}

static void fill(size_t bytes)
{
	char line[200];
	size_t written = 0;

	while (written < bytes) {
		const char *shape = shapes[random(ARRAY_SIZE(shapes))];
		int len = scnprintf(line, sizeof(line), shape, random(8), random(16), random(1 << 20), random(1 << 20));

		printk(KERN_INFO "%s\n", line);
		written += len + PREFIX;
	}
}

static void noise(size_t bytes)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char line[91] = {};
	size_t written = 0, i;

	while (written < bytes) {
		for (i = 0; i < sizeof(line) - 1; i++)
			line[i] = base64[random(64)];
		printk(KERN_INFO "%s\n", line);
		written += sizeof(line) - 1 + PREFIX;
	}
}

static void note(u64 time)
{
	least = min(least, time);
	most = max(most, time);
}

static void nothing(struct kmsg_dumper *dumper, struct kmsg_dump_detail *detail)
{
}

static struct kmsg_dumper first = {
	.dump = nothing,
};

static int time_dump(void)
{
	struct kmsg_dump_detail detail = { .reason = KMSG_DUMP_OOPS };
	struct kmsg_dumper *next = list_next_entry(&first, list);
	unsigned long flags;
	u64 begin;

	/* Alone in the list: both neighbours are its head. */
	if (first.list.next == first.list.prev)
		return -ENODEV;
	local_irq_save(flags);
	begin = ktime_get_mono_fast_ns();
	next->dump(next, &detail);
	note(ktime_get_mono_fast_ns() - begin);
	local_irq_restore(flags);
	return 0;
}

static int time_floor(size_t bytes)
{
	struct kmsg_dump_iter iter;
	unsigned long flags;
	u64 begin;

	if (bytes > buffer_size) {
		vfree(buffer);
		buffer = vzalloc(bytes);
		buffer_size = buffer ? bytes : 0;
		if (!buffer)
			return -ENOMEM;
	}
	local_irq_save(flags);
	begin = ktime_get_mono_fast_ns();
	kmsg_dump_rewind(&iter);
	kmsg_dump_get_buffer(&iter, true, buffer, bytes, &copied);
	note(ktime_get_mono_fast_ns() - begin);
	local_irq_restore(flags);
	return 0;
}

static ssize_t bench_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	char line[64] = {};
	unsigned long bytes, number;
	int error = 0;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, count))
		return -EFAULT;

	copied = 0;
	least = U64_MAX;
	most = 0;
	if (sscanf(line, "fill %lu %lu", &bytes, &number) == 2) {
		random_state = number;
		fill(bytes);
	} else if (sscanf(line, "noise %lu %lu", &bytes, &number) == 2) {
		random_state = number;
		noise(bytes);
	} else if (sscanf(line, "dump %lu", &number) == 1) {
		while (number-- && !error)
			error = time_dump();
	} else if (sscanf(line, "floor %lu %lu", &bytes, &number) == 2) {
		while (number-- && !error)
			error = time_floor(bytes);
	} else {
		error = -EINVAL;
	}
	return error ?: count;
}

static ssize_t bench_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	char line[80];
	int len = scnprintf(line, sizeof(line), "%zu %llu %llu\n", copied, least, most);

	return simple_read_from_buffer(to, count, pos, line, len);
}

static const struct proc_ops bench_ops = {
	.proc_read = bench_read,
	.proc_write = bench_write,
};

static ssize_t text_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	return simple_read_from_buffer(to, count, pos, buffer, copied);
}

static const struct proc_ops text_ops = {
	.proc_read = text_read,
};

static int __init bench_init(void)
{
	int error = kmsg_dump_register(&first);

	if (error)
		return error;
	if (proc_create("bench", 0600, NULL, &bench_ops) && proc_create("bench_text", 0400, NULL, &text_ops))
		return 0;
	remove_proc_subtree("bench", NULL);
	kmsg_dump_unregister(&first);
	return -ENOMEM;
}

module_init(bench_init);
MODULE_DESCRIPTION("Measures kernel message dumpers");
MODULE_LICENSE("GPL");
