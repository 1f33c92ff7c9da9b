// SPDX-License-Identifier: GPL-2.0
/* Dies of a segmentation fault, about which the kernel says the name of this program. */

int main(void)
{
	*(volatile int *)16 = 0;
	return 0;
}
