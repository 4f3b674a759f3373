package io.shardlake.flink;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.io.network.netty.InboundChannelHandlerFactory;
import org.apache.flink.shaded.netty4.io.netty.buffer.Unpooled;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelFutureListener;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelHandler;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelHandlerAdapter;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelHandlerContext;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelInboundHandlerAdapter;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.DefaultFullHttpResponse;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpHeaderNames;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpHeaders;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpRequest;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpResponseStatus;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpServerCodec;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpVersion;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.QueryStringDecoder;
import org.apache.flink.shaded.netty4.io.netty.util.ReferenceCountUtil;

/**
 * Refuses what a browser sends to Flink's REST API for a page that is not Flink's own. The API runs the code of whoever
 * reaches it, and a browser reaches loopback for any page.
 *
 * <p>Where shardlake.rest.hosts is set, a request must name an IP address, localhost or one of these hosts, so that no
 * name of an attacker's can be pointed here, and must not come from another origin. GET jobs/ID/yarn-cancel and
 * yarn-stop are refused to all: an image's address on a page is enough for a GET.
 */
public final class RestGuard implements InboundChannelHandlerFactory {
    private static final ConfigOption<List<String>> HOSTS =
            ConfigOptions.key("shardlake.rest.hosts").stringType().asList().noDefaultValue();
    private static final Pattern ADDRESS = Pattern.compile("localhost|\\d+(\\.\\d+){3}|\\[[0-9A-Fa-f:.]+\\]");
    private static final List<String> ENTRANCE = List.of("/", "/index.html");
    private static final List<String> OWN_SITE = List.of("same-origin", "none");

    @Override
    public int priority() {
        return 0;
    }

    @Override
    public Optional<ChannelHandler> createHandler(Configuration configuration, Map<String, String> responseHeaders) {
        return configuration.getOptional(HOSTS).map(InFront::new);
    }

    /** The reason to refuse a request, null where there is none. */
    private static String reason(HttpRequest request, List<String> hosts) {
        HttpHeaders headers = request.headers();
        List<String> named = headers.getAll(HttpHeaderNames.HOST);
        String authority = named.size() == 1 ? named.get(0) : "";
        String host = authority.replaceFirst(":\\d*$", "");
        String path = new QueryStringDecoder(request.uri()).path();
        String origin = headers.get(HttpHeaderNames.ORIGIN);
        String site = headers.get("Sec-Fetch-Site");
        if (!ADDRESS.matcher(host).matches() && !hosts.contains(host)) {
            return "the host that the request names is not one of shardlake.rest.hosts.";
        }
        if (origin != null && !origin.equals("http://" + authority) && !origin.equals("https://" + authority)) {
            return "a page of another origin asks.";
        }
        boolean isEntrance = ENTRANCE.contains(path) && "document".equals(headers.get("Sec-Fetch-Dest"));
        if (site != null && !OWN_SITE.contains(site) && !isEntrance) {
            return "a page of another origin asks.";
        }
        return path.matches(".*/yarn-(cancel|stop)/*") ? "a GET must change nothing." : null;
    }

    /** Puts the guard before the handler of uploads, which would write a refused file to the disk. */
    private static final class InFront extends ChannelHandlerAdapter {
        private final List<String> hosts;

        InFront(List<String> hosts) {
            this.hosts = hosts;
        }

        @Override
        public void handlerAdded(ChannelHandlerContext context) {
            String codec = context.pipeline().context(HttpServerCodec.class).name();
            context.pipeline().addAfter(codec, null, new Guard(hosts));
        }
    }

    private static final class Guard extends ChannelInboundHandlerAdapter {
        private final List<String> hosts;
        private boolean isRefused;

        Guard(List<String> hosts) {
            this.hosts = hosts;
        }

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            String reason = message instanceof HttpRequest ? reason((HttpRequest) message, hosts) : null;
            if (reason != null) {
                isRefused = true;
                var body = Unpooled.copiedBuffer("{\"errors\":[\"Refused: " + reason + "\"]}", UTF_8);
                var answer = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.FORBIDDEN, body);
                answer.headers().set(HttpHeaderNames.CONTENT_TYPE, "application/json");
                answer.headers().set(HttpHeaderNames.CONTENT_LENGTH, body.readableBytes());
                context.writeAndFlush(answer).addListener(ChannelFutureListener.CLOSE);
            }
            if (isRefused) {
                ReferenceCountUtil.release(message);
            } else {
                context.fireChannelRead(message);
            }
        }
    }
}
