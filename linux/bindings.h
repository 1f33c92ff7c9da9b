/* SPDX-License-Identifier: GPL-2.0 */
/* C interfaces that the kernel crate has no bindings for. */
#include <linux/crc32.h>
#include <linux/kmsg_dump.h>
#include <linux/libnvdimm.h>
#include <linux/mtd/mtd.h>
#include <linux/pstore_ram.h>
#include <linux/utsname.h>
#include <linux/zutil.h>
