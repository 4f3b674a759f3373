package io.shardlake.flink;

/** IP addresses as text (RFC 4291, section 2.2), strictly and without asking any name service, as java.net.InetAddress would. */
final class Addresses {
    private Addresses() {}

    /** The 32 bits, or -1 where the text is no IPv4 address. A leading zero is refused: some read it as octal. */
    static long ipv4(byte[] text, int begin, int end) {
        long address = 0;
        int parts = 0;
        int i = begin;
        while (i < end) {
            int start = i;
            int part = 0;
            while (i < end && i - start < 3 && text[i] >= '0' && text[i] <= '9') {
                part = 10 * part + text[i++] - '0';
            }
            if (i == start || part > 255 || (i - start > 1 && text[start] == '0')) {
                return -1;
            }
            address = address << 8 | part;
            parts++;
            if (i < end && (text[i] != '.' || parts == 4 || ++i == end)) {
                return -1;
            }
        }
        return parts == 4 ? address : -1;
    }

    /** The eight groups of 16 bits without the zone, or null where the text is no IPv6 address. */
    static int[] ipv6(byte[] text, int begin, int end) {
        for (int i = begin; i < end; i++) {
            if (text[i] == '%') { // fe80::1%eth0 (RFC 4007)
                if (i + 1 == end) {
                    return null;
                }
                end = i;
            }
        }
        int[] groups = new int[8];
        int count = 0;
        int gap = -1;
        int i = begin;
        if (end - begin >= 2 && text[begin] == ':' && text[begin + 1] == ':') {
            gap = 0;
            i += 2;
        }
        while (i < end) {
            int start = i;
            int group = 0;
            while (i < end && i - start < 4 && Character.digit(text[i], 16) >= 0) {
                group = group << 4 | Character.digit(text[i++], 16);
            }
            if (i < end && text[i] == '.') { // the last two groups as IPv4
                long address = ipv4(text, start, end);
                if (address < 0 || count > 6) {
                    return null;
                }
                groups[count++] = (int) (address >> 16);
                groups[count++] = (int) (address & 0xffff);
                break;
            }
            if (i == start || count == 8) {
                return null;
            }
            groups[count++] = group;
            if (i == end) {
                break;
            }
            if (text[i++] != ':' || i == end) {
                return null;
            }
            if (text[i] == ':') {
                if (gap >= 0) {
                    return null;
                }
                gap = count;
                i++;
            }
        }
        return spread(groups, count, gap);
    }

    /** Whether it is an IPv4 address in IPv6's clothes, ::ffff:0:0/96. */
    static boolean isMapped(int[] groups) {
        return groups[5] == 0xffff && (groups[0] | groups[1] | groups[2] | groups[3] | groups[4]) == 0;
    }

    /** Zeros where `::` stood, before group `gap`, so that there are eight; -1 is none. */
    private static int[] spread(int[] groups, int count, int gap) {
        if (gap < 0 ? count != 8 : count == 8) {
            return null;
        }
        int zeros = gap < 0 ? 0 : 8 - count;
        for (int i = 7; zeros > 0 && i >= gap; i--) {
            groups[i] = i >= gap + zeros ? groups[i - zeros] : 0;
        }
        return groups;
    }
}
