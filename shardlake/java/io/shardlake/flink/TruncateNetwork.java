package io.shardlake.flink;

import java.nio.charset.StandardCharsets;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * TRUNCATE_NETWORK(s): the network of an address, 203.0.113.0/24 or 2001:db8:1::/48, without port and zone.
 *
 * <p>Text that is no address, a host name or a list, is masked as MASK does: it may tell as much as an address.
 */
public class TruncateNetwork extends ScalarFunction {
    private static final byte[] ENDING = "0/24".getBytes(StandardCharsets.US_ASCII);

    private final Mask mask = new Mask();

    @Override
    public void open(FunctionContext context) throws Exception {
        mask.open(context);
    }

    /** The planner has no key, or another one than the task manager's. */
    @Override
    public boolean supportsConstantFolding() {
        return false;
    }

    @DataTypeHint(value = "STRING", bridgedTo = StringData.class)
    public StringData eval(@DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData value) {
        if (value == null) {
            return null;
        }
        StringData network = network(value.toBytes());
        return network == null ? mask.eval(value) : network;
    }

    /** Null where the text is no address. */
    private static StringData network(byte[] text) {
        if (text.length > 0 && text[0] == '[') { // [2001:db8::1]:443
            int close = indexOf(text, ']', 1);
            return close < 0 || !(close + 1 == text.length || isPort(text, close + 1)) ? null : ofIpv6(text, 1, close);
        }
        int colon = indexOf(text, ':', 0);
        if (colon >= 0 && indexOf(text, ':', colon + 1) >= 0) {
            return ofIpv6(text, 0, text.length);
        }
        return colon >= 0 && !isPort(text, colon) ? null : ofIpv4(text, colon < 0 ? text.length : colon);
    }

    private static StringData ofIpv4(byte[] text, int end) {
        if (Addresses.ipv4(text, 0, end) < 0) {
            return null;
        }
        int dot = end - 1;
        while (text[dot] != '.') {
            dot--;
        }
        byte[] network = new byte[dot + 1 + ENDING.length];
        System.arraycopy(text, 0, network, 0, dot + 1);
        System.arraycopy(ENDING, 0, network, dot + 1, ENDING.length);
        return StringData.fromBytes(network);
    }

    private static StringData ofIpv6(byte[] text, int begin, int end) {
        int[] groups = Addresses.ipv6(text, begin, end);
        if (groups == null) {
            return null;
        }
        if (Addresses.isMapped(groups)) { // ::ffff:203.0.113.7 is an IPv4 client on a socket for both
            return StringData.fromString((groups[6] >> 8) + "." + (groups[6] & 0xff) + "." + (groups[7] >> 8) + ".0/24");
        }
        boolean holdsIpv4 = groups[0] == 0x2002; // 6to4 (RFC 3056): its 48 bits are a whole IPv4 address
        groups[2] &= holdsIpv4 ? 0xff00 : 0xffff;
        int kept = 3;
        while (kept > 0 && groups[kept - 1] == 0) {
            kept--;
        }
        StringBuilder network = new StringBuilder();
        for (int i = 0; i < kept; i++) {
            network.append(i == 0 ? "" : ":").append(Integer.toHexString(groups[i]));
        }
        return StringData.fromString(network.append(holdsIpv4 ? "::/40" : "::/48").toString());
    }

    private static boolean isPort(byte[] text, int colon) {
        int digits = text.length - colon - 1;
        if (text[colon] != ':' || digits < 1 || digits > 5) {
            return false;
        }
        for (int i = colon + 1; i < text.length; i++) {
            if (text[i] < '0' || text[i] > '9') {
                return false;
            }
        }
        return true;
    }

    private static int indexOf(byte[] text, char wanted, int begin) {
        for (int i = begin; i < text.length; i++) {
            if (text[i] == wanted) {
                return i;
            }
        }
        return -1;
    }
}
