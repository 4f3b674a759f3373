package io.shardlake.flink;

import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsServer;
import com.sun.net.httpserver.spi.HttpServerProvider;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;

/**
 * The JDK's own HTTP servers, but on loopback where they were to listen on every address of the machine.
 *
 * <p>Flink's Prometheus reporter takes a port and no address. The system property
 * com.sun.net.httpserver.HttpServerProvider names this class; what it stands in for is not exported by its module.
 */
public final class LoopbackHttpServers extends HttpServerProvider {
    public static final String STANDS_IN_FOR = "sun.net.httpserver.DefaultHttpServerProvider";
    private final HttpServerProvider servers;

    public LoopbackHttpServers() throws ReflectiveOperationException {
        servers = (HttpServerProvider) Class.forName(STANDS_IN_FOR).getDeclaredConstructor().newInstance();
    }

    @Override
    public HttpServer createHttpServer(InetSocketAddress address, int backlog) throws IOException {
        return servers.createHttpServer(onLoopback(address), backlog);
    }

    @Override
    public HttpsServer createHttpsServer(InetSocketAddress address, int backlog) throws IOException {
        return servers.createHttpsServer(onLoopback(address), backlog);
    }

    private static InetSocketAddress onLoopback(InetSocketAddress address) {
        boolean isEverywhere = address != null && address.getAddress().isAnyLocalAddress();
        return isEverywhere ? new InetSocketAddress(InetAddress.getLoopbackAddress(), address.getPort()) : address;
    }
}
