package io.shardlake.flink;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.api.python.shaded.py4j.DefaultGatewayServerListener;
import org.apache.flink.api.python.shaded.py4j.Gateway;
import org.apache.flink.api.python.shaded.py4j.GatewayServer;
import org.apache.flink.api.python.shaded.py4j.Py4JServerConnection;

/**
 * What PythonGatewayServer is to PyFlink, but that it does nothing for whoever does not know the token.
 *
 * <p>The token is the first line of standard input. The gateway's port goes into the file that SHARDLAKE_GATEWAY_PORT names. The end
 * of standard input is the end of this process. A client's objects go with its last connection, so that clients that come one after
 * the other find the gateway empty.
 */
public final class GuardedGateway {
    private GuardedGateway() {}

    public static void main(String[] arguments) throws IOException, ReflectiveOperationException {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        String token = input.readLine();
        if (token == null || token.isBlank()) {
            System.err.println("GuardedGateway was given no token.");
            System.exit(1);
        }
        GatewayServer server = start(token);
        if (server.getListeningPort() == -1) {
            System.err.println("GuardedGateway has no port.");
            System.exit(1);
        }
        rememberForFlink(server);
        Path told = Path.of(System.getenv("SHARDLAKE_GATEWAY_PORT"));
        Path whole = Files.write(told.resolveSibling("port.new"), ByteBuffer.allocate(4).putInt(server.getListeningPort()).array());
        Files.move(whole, told, StandardCopyOption.ATOMIC_MOVE);
        while (input.read() != -1) {
            // Nothing more is said.
        }
        System.exit(0);
    }

    /** A gateway on any free port of loopback, which calls Python with the same token. */
    private static GatewayServer start(String token) {
        InetAddress loopback = InetAddress.getLoopbackAddress();
        GatewayServer server = new GatewayServer.GatewayServerBuilder(new ConcurrentHashMap<String, Object>())
                .javaPort(0).javaAddress(loopback).authToken(token)
                .callbackClient(GatewayServer.DEFAULT_PYTHON_PORT, loopback, token).build();
        server.addListener(new Emptying(server.getGateway()));
        server.start(true);
        return server;
    }

    /** Forgets the objects of a client that has gone: it no longer asks for them, and nobody else may. */
    private static final class Emptying extends DefaultGatewayServerListener {
        private final Gateway gateway;
        private int connections;

        Emptying(Gateway gateway) {
            this.gateway = gateway;
        }

        @Override
        public synchronized void connectionStarted(Py4JServerConnection connection) {
            connections++;
        }

        @Override
        public synchronized void connectionStopped(Py4JServerConnection connection) {
            if (--connections == 0) {
                gateway.getBindings().keySet().removeIf(name -> name.matches("o\\d+"));
            }
        }
    }

    /** Flink looks there for the Python that calls it, where SQL names a function of Python. */
    private static void rememberForFlink(GatewayServer server) throws ReflectiveOperationException {
        Method remember = Class.forName("org.apache.flink.client.python.PythonEnvUtils")
                .getDeclaredMethod("setGatewayServer", GatewayServer.class);
        remember.setAccessible(true);
        remember.invoke(null, server);
    }
}
